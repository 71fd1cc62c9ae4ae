"""Where the picture that a table names lies on this machine."""

import unicodedata
from pathlib import Path


class Locator:
    """Find pictures below `root`, asking the disk once per name.

    A name is tried as written; without blanks (full-width ones too) at its ends; with `\\` as `/`,
    for tables from Windows; and composed or decomposed (NFC, NFD), for files from macOS. Absolute
    paths and `..` are allowed, because a table and its pictures belong to the same user; what is
    found must be a file.
    """

    def __init__(self, root: Path):
        self.root = root
        self._found: dict[str, Path | None] = {}

    def find(self, name: str) -> Path | None:
        """Return the path of the file, or None if there is none."""
        if name not in self._found:
            paths = (self.root / candidate for candidate in _candidates(name))
            self._found[name] = next(filter(_is_file, paths), None)
        return self._found[name]


def _candidates(name: str) -> list[str]:
    stripped = name.strip()
    slashed = stripped.replace("\\", "/")
    forms = [unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")]
    return list(dict.fromkeys([name, stripped, slashed, *forms]))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False
