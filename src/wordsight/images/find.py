"""Finding the pictures a user means: files, folders, patterns, or a list on standard input."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from wordsight.errors import InputError
from wordsight.images.path_list import PathList

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
)
"""What a file in a folder must end in to count as a picture; case does not matter."""

_MAGIC = re.compile(r"[*?\[]")


def find_images(inputs: Sequence[str], *, stdin: TextIO | None = None) -> Sequence[Path]:
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
    if len(inputs) == 1 and Path(inputs[0]).is_dir():  # which names nothing twice
        return PathList(_from_path(Path(inputs[0])))
    return PathList(_each_once(inputs, stdin))


def _each_once(inputs: Sequence[str], stdin: TextIO | None) -> Iterator[Path]:
    seen: set[bytes] = set()
    for given in inputs:
        for path in _from_stdin(stdin) if given == "-" else _from_input(given):
            whole = os.path.abspath(path)  # noqa: PTH100 - must not follow links
            digest = hashlib.blake2b(os.fsencode(whole), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                yield path


def _from_input(given: str) -> Sequence[Path]:
    path = Path(given)
    if os.path.lexists(path):
        return _from_path(path)
    if _MAGIC.search(given):
        return _from_pattern(given)
    raise InputError(f"{given}: there is no such file or folder", hint="check the spelling")


def _from_path(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    pictures = PathList(_walk(str(path)))
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


def _walk(folder: str) -> Iterator[str]:
    """Yield the pictures of a folder in order; memory holds the names of one folder at a time."""
    names: list[tuple[str, str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir()
                is_wanted = is_folder or os.path.splitext(entry.name)[1].lower() in EXTENSIONS  # noqa: PTH122 - no Path for every name
                is_link = is_folder and entry.is_symlink()
                if is_wanted and not is_link and not entry.name.startswith("."):
                    names.append((_natural_text(entry.name), entry.name, is_folder))
    except OSError as error:
        raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}") from None
    names.sort()
    for _, name, is_folder in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - no Path for every name
        if is_folder:
            yield from _walk(path)
        else:
            yield path


def _naturally_sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: ([_natural(part) for part in path.parts], str(path)))


def _natural(part: str) -> list[str | int]:
    # Text and numbers take turns, so that equal places always hold the same type.
    pieces = re.split(r"(\d+)", part.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)]


def _natural_text(part: str) -> str:
    """Return text that sorts as `_natural` does: a number is its length, then its digits."""

    def in_order(digits: re.Match[str]) -> str:
        number = str(int(digits[0]))
        return f"\1{chr(len(number))}{number}"

    return re.sub(r"\d+", in_order, part.casefold())
