"""Finding the pictures a user means: files, folders, patterns, or a list on standard input."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from wordsight.errors import InputError

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
)
"""What a file in a folder must end in to count as a picture; case does not matter."""

_MAGIC = re.compile(r"[*?\[]")


def find_images(inputs: Sequence[str], *, stdin: TextIO | None = None) -> list[Path]:
    """Return the pictures that files, folders, patterns and `-` name, each once, in a fixed order.

    A folder is searched with all its subfolders; hidden files and links to folders are left out.
    A pattern may hold `*`, `?`, `[..]` and `**`; it finds pictures only, unless its last part has
    a dot (`*.dat`). `-` reads paths from `stdin`, one a line, or separated by NUL characters.
    Files given by name are taken whatever their ending. Order: that of the inputs, and within
    one by name with numbers by value, so `2.png` comes before `10.png`.

    Raises:
        InputError: for an input that is not there, or that names no picture.
    """
    if not inputs:
        raise InputError("no pictures given", hint="name a file, a folder, or - for a list")
    found: dict[str, Path] = {}
    for given in inputs:
        paths = _from_stdin(stdin) if given == "-" else _from_input(given)
        for path in paths:
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - must not follow links
    return list(found.values())


def _from_input(given: str) -> list[Path]:
    path = Path(given)
    if os.path.lexists(path):
        return _from_path(path)
    if _MAGIC.search(given):
        return _from_pattern(given)
    raise InputError(f"{given}: there is no such file or folder", hint="check the spelling")


def _from_path(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    pictures = _naturally_sorted(_walk(path))
    if not pictures:
        raise InputError(
            f"{path}: there is no picture in this folder",
            hint=f"pictures end in {' '.join(sorted(EXTENSIONS))}; name other files one by one",
        )
    return pictures


def _from_stdin(stdin: TextIO | None) -> list[Path]:
    if stdin is None:
        raise InputError("-: there is no standard input to read paths from")
    text = stdin.read()
    names = [name for name in (text.split("\0") if "\0" in text else text.splitlines()) if name]
    if not names:
        raise InputError("-: standard input names no picture", hint="write one path a line")
    paths: list[Path] = []
    for number, name in enumerate(names, start=1):
        if not os.path.lexists(name):
            raise InputError(f"-: path {number}, {name!r}: there is no such file or folder")
        paths += _from_path(Path(name))
    return paths


def _from_pattern(pattern: str) -> list[Path]:
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    base, rest = Path(*parts[:first]), parts[first:]
    if rest[-1] == "**":
        rest = (*rest, "*")
    wants_hidden = any(part.startswith(".") for part in rest)
    pictures: list[Path] = []
    for path in base.glob("/".join(rest)):
        is_hidden = any(part.startswith(".") for part in path.relative_to(base).parts)
        is_picture = "." in rest[-1] or path.suffix.lower() in EXTENSIONS
        if is_picture and path.is_file() and (wants_hidden or not is_hidden):
            pictures.append(path)
    if not pictures:
        raise InputError(
            f"{pattern}: no picture matches this pattern",
            hint="quote it, use ** for all subfolders, and check it with ls",
        )
    return _naturally_sorted(pictures)


def _walk(folder: Path) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(root, name)


def _naturally_sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: ([_natural(part) for part in path.parts], str(path)))


def _natural(part: str) -> list[str | int]:
    # Text and numbers take turns, so that equal places always hold the same type.
    pieces = re.split(r"(\d+)", part.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)]
