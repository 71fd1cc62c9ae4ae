"""Finding the tar shards that a user means: one file, a folder, or a pattern."""

import re
from collections import Counter
from itertools import product
from pathlib import Path

from wordsight.errors import DataError, InputError

TAR = ".tar"
MAX_SHARDS = 1_000_000

_REMOTE = re.compile(r"(?:pipe|https?|ftps?|s3|gs|ais|file|hdfs|az):|.*://", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_MAGIC = re.compile(r"[*?\[]")


def refuse_remote(source: str) -> None:
    """Refuse commands and addresses, which webdataset would run and fetch.

    Raises:
        InputError: always naming what was given.
    """
    if _REMOTE.match(source):
        raise InputError(
            f"{source}: shards are read from files; no command is run and nothing is fetched",
            hint="download them first, and give their path",
        )


def are_shards(source: str) -> bool:
    """Tell whether a source means tar files."""
    path = Path(source)
    if path.is_dir():
        return any(_tars_in(path))
    return source.lower().endswith((TAR, TAR + ".gz", ".tgz"))


def find_shards(source: str) -> list[Path]:
    """Return the tar files that a file name, a folder or a pattern names, in a fixed order.

    In a pattern, `{000..009}` counts, `{a,b}` lists, and `*`, `?` and `[..]` stand for what is
    there. A folder must hold one set of shards: files whose names differ in numbers only.

    Raises:
        InputError: for commands and addresses, files that are not there, and endless patterns.
        DataError: if a folder holds several sets, such as train-*.tar and test-*.tar.
    """
    refuse_remote(source)
    path = Path(source)
    try:
        if path.is_dir():
            return _in_folder(path)
        paths = [path] if path.exists() else _expanded(source)
        missing = [path for path in paths if not path.is_file()]
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    if missing:
        more = f", nor {len(missing) - 1} others of {len(paths)}" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}: there is no such file{more}")
    twice, times = Counter(paths).most_common(1)[0]
    if times > 1:
        raise InputError(f"{source}: names {twice} {times} times")
    return paths


def _tars_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == TAR and path.is_file() and not path.name.startswith(".")
    )


def _in_folder(folder: Path) -> list[Path]:
    paths = _tars_in(folder)
    if not paths:
        raise InputError(f"{folder}: there is no {TAR} file in this folder")
    sets: dict[str, list[Path]] = {}
    for path in paths:
        sets.setdefault(re.sub(r"\d+", "*", path.name), []).append(path)
    if len(sets) > 1:
        found = ", ".join(f"{name} ({len(members)})" for name, members in sets.items())
        raise DataError(
            f"{folder}: {len(sets)} sets of shards in this folder: {found}",
            hint=f'name one, for example "{folder / next(iter(sets))}", or all: "{folder}/*{TAR}"',
        )
    return paths


def _expanded(pattern: str) -> list[Path]:
    pieces = _BRACES.split(pattern)  # outside, inside, outside, ...
    choices = [[piece] for piece in pieces]
    count = 1
    for place in range(1, len(pieces), 2):
        choices[place] = _choices(pieces[place], pattern)
        count *= len(choices[place])
        if count > MAX_SHARDS:
            raise InputError(f"{pattern}: names more than {MAX_SHARDS} files")
    names = ["".join(parts) for parts in product(*choices)]
    return [path for name in names for path in _matching(name)]


def _choices(inside: str, pattern: str) -> list[str]:
    counted = _RANGE.fullmatch(inside)
    if counted is None:
        return inside.split(",")
    first, last = int(counted[1]), int(counted[2])
    if not first <= last < first + MAX_SHARDS:
        raise InputError(
            f"{pattern}: {{{inside}}} counts from {first} to {last}; expected upwards, "
            f"and {MAX_SHARDS} files at most"
        )
    is_padded = counted[1].startswith("0") and len(counted[1]) > 1
    width = len(counted[1]) if is_padded else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def _matching(name: str) -> list[Path]:
    path = Path(name)
    if not _MAGIC.search(name) or path.exists():
        return [path]
    folder = next(parent for parent in path.parents if not _MAGIC.search(str(parent)))
    try:
        found = sorted(folder.glob(str(path.relative_to(folder))))
    except ValueError as error:  # two stars that are only a part of a name
        raise InputError(f"{name}: {error}") from None
    files = [match for match in found if match.is_file()]
    if not files:
        raise InputError(
            f"{name}: no file matches this pattern", hint="quote it, and check it with ls"
        )
    return files
