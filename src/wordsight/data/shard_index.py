"""Where the pictures and sentences of one tar shard lie, found by reading its headers once."""

import hashlib
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wordsight.data.shard_texts import MAX_TEXT_BYTES, Said, has_several, read_texts
from wordsight.data.tar_members import BLOCK, ZEROS, Member, is_header, tar_members
from wordsight.errors import DataError, InputError
from wordsight.images.limits import DEFAULT_LIMITS

PICTURES = ("jpg", "png", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm")
"""Extensions of pictures; of several pictures of a sample the earliest of these counts."""
PICKLES = frozenset({"pkl", "pickle", "pyd", "pth", "pt"})
NO_TEXT = "it has no sentence: neither .txt nor .json"
MAX_FLAWS = 100_000
"""Samples of one shard that may be unusable; they are listed, so there must be a limit."""

_COMPRESSED = re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|PK\x03\x04")
_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__(/|$)")
_BUFFER = 2**15
_CHUNK = 4096
_NONE = (-1, 0, len(PICTURES), -1, 0, -1, 0, 0)
_IMAGE, _RANK, _TXT, _JSON, _REPEATED, _WIDTH = 0, 2, 3, 5, 7, len(_NONE)
_NOWHERE = (-1, 0, 0)


class Stamp(NamedTuple):
    """What tells whether a file is still the one that was indexed."""

    size: int
    mtime_ns: int


class Flaw(NamedTuple):
    """Something of a shard that cannot be used."""

    sample: int
    """Number of the sample in the shard, from 1; 0 for the shard itself."""
    key: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """The samples of one shard, in the order of their first members."""

    rows: NDArray[np.int64]
    """(N, 5): offset and size of the picture, those of the sentences, 1 if these are in a .json."""
    ends: NDArray[np.int64]
    """(N,) where the key of each sample ends in `keys`."""
    keys: bytes
    digest: str
    """Changes when a key, a sentence or the size of a picture does."""
    ignored: Mapping[str, int]
    """Members that are never read, by kind."""
    flaws: tuple[Flaw, ...]
    stamp: Stamp

    def key(self, index: int) -> str:
        """Return the name of a sample in its shard."""
        start = self.ends[index - 1] if index else 0
        return self.keys[start : self.ends[index]].decode()


def stamp_of(path: Path) -> Stamp:
    """Return size and time of a file.

    Raises:
        InputError: if there is none, or it is a folder, pipe or device.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: expected a tar file, not a folder, pipe or device")
    return Stamp(status.st_size, status.st_mtime_ns)


def index_shard(path: Path) -> ShardIndex:
    """Read the headers and sentences of a tar file, and none of its pictures.

    Members belong together if their names are equal up to the first dot of the last part, as
    webdataset has it, but need not be neighbours. Links, devices, pickles and members of other
    extensions are counted and never read. A shard that is cut keeps the samples before the cut.

    Raises:
        InputError: if there is no such file.
        DataError: if it is no tar file, or has more than MAX_FLAWS unusable samples.
    """
    stamp = stamp_of(path)
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            _check_tar(file, path)
            samples = _Samples()
            try:
                for member in tar_members(file, stamp.size):
                    samples.add(member)
            except DataError as error:
                samples.flaws.append(Flaw(0, path.name, str(error)))
            return _indexed(samples, file, stamp, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _check_tar(file: IO[bytes], path: Path) -> None:
    head = file.read(BLOCK)
    file.seek(0)
    if _COMPRESSED.match(head):
        raise DataError(
            f"{path}: a compressed archive, in which nothing can be found without unpacking it all",
            hint="decompress it once, for example with gunzip; pictures hardly shrink anyway",
        )
    if head != ZEROS and not is_header(head.ljust(BLOCK)):
        raise DataError(f"{path}: not a tar archive ({os.fstat(file.fileno()).st_size} bytes)")


class _Samples:
    """Members put together by key, in columns of numbers: a shard may have millions."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.cells = array("q")
        self.ignored: Counter[str] = Counter()
        self.flaws: list[Flaw] = []

    def add(self, member: Member) -> None:
        if member.kind == "folder" or _META.match(member.name):
            return
        matched = _NAME.fullmatch(member.name)
        extension = matched[2].lower() if matched else ""
        kind = _ignored_kind(member, extension)
        if matched is None or kind:
            self.ignored[kind or "other"] += 1
            return
        place = self.places.setdefault(matched[1], len(self.places))
        if place * _WIDTH == len(self.cells):
            self.cells.extend(_NONE)
        self._put(place * _WIDTH, extension, member)

    def _put(self, base: int, extension: str, member: Member) -> None:
        cells = self.cells
        column = {"txt": _TXT, "json": _JSON}.get(extension, _IMAGE)
        if column == _IMAGE:
            rank = PICTURES.index(extension)
            if rank > cells[base + _RANK]:
                return
            is_repeated = rank == cells[base + _RANK]
            cells[base + _RANK] = rank
        else:
            is_repeated = cells[base + column] >= 0
        if is_repeated:
            cells[base + _REPEATED] = 1
        cells[base + column], cells[base + column + 1] = member.offset, member.size

    def rows(self) -> Generator[tuple[int, str, list[int]]]:
        """Yield number, key and cells of every sample."""
        table = np.array(self.cells, np.int64).reshape(-1, _WIDTH)
        keys = iter(self.places)
        for start in range(0, len(table), _CHUNK):
            for offset, row in enumerate(table[start : start + _CHUNK].tolist(), start=1):
                yield start + offset, next(keys), row


def _ignored_kind(member: Member, extension: str) -> str:
    """Return why a member is never read; "" if it is."""
    if member.kind != "file":
        return member.kind
    if extension in PICTURES or extension in ("txt", "json"):
        return ""
    return "pickle" if extension.rpartition(".")[2] in PICKLES else "other"


def _indexed(samples: _Samples, file: IO[bytes], stamp: Stamp, path: Path) -> ShardIndex:
    cells, ends, keys = array("q"), array("q"), bytearray()
    digest = hashlib.sha256()
    flaws = samples.flaws
    for number, key, row in samples.rows():
        said, place = _said(row, file)
        unusable = _problem(key, row)
        if problem := unusable or said.problem:
            flaws.append(Flaw(number, key, problem))
            if len(flaws) > MAX_FLAWS:
                raise DataError(
                    f"{path}: more than {MAX_FLAWS} samples cannot be used; the last is {key!r}: "
                    f"{problem}"
                )
        if unusable or not said.texts:
            continue
        cells.extend((*row[_IMAGE : _IMAGE + 2], *place))
        keys += key.encode()
        ends.append(len(keys))
        for text in (key, str(row[_IMAGE + 1]), *said.texts):
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
    return ShardIndex(
        rows=np.array(cells, np.int64).reshape(-1, 5),
        ends=np.array(ends, np.int64),
        keys=bytes(keys),
        digest=digest.hexdigest(),
        ignored=dict(sorted(samples.ignored.items())),
        flaws=tuple(flaws),
        stamp=stamp,
    )


def _problem(key: str, row: list[int]) -> str:
    """Say why a sample cannot be used, as far as its headers tell."""
    image, size = row[_IMAGE : _IMAGE + 2]
    if key.startswith("/") or ".." in key.split("/"):
        return "its name leads out of the archive"
    if row[_REPEATED]:
        return "two members have its name and the same extension"
    if image < 0:
        return "it has no picture"
    if not 0 < size <= DEFAULT_LIMITS.max_bytes:
        return f"its picture has {size} bytes; expected 1 to {DEFAULT_LIMITS.max_bytes}"
    return ""


def _said(row: list[int], file: IO[bytes]) -> tuple[Said, tuple[int, int, int]]:
    """Return the sentences of a sample, and where they are."""
    txt, txt_size = row[_TXT : _TXT + 2]
    json, json_size = row[_JSON : _JSON + 2]
    if json >= 0 and json_size <= MAX_TEXT_BYTES:
        content = _read(file, json, json_size)
        if txt < 0 or has_several(content):
            return read_texts(content, "json"), (json, json_size, 1)
    if txt >= 0 and txt_size <= MAX_TEXT_BYTES:
        return read_texts(_read(file, txt, txt_size), "txt"), (txt, txt_size, 0)
    size = max(txt_size, json_size)
    problem = f"its text has {size} bytes; the limit is {MAX_TEXT_BYTES}" if size else NO_TEXT
    return Said((), problem), _NOWHERE


def _read(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
