"""Where the members of a tar archive lie: headers are read, contents are stepped over.

Nothing is unpacked, no link is followed and no name becomes a path, so all that a hostile archive
can do is to lie about what it holds. The headers of ustar, of GNU tar and of pax are understood.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import IO, Literal, NamedTuple

from wordsight.errors import DataError

Kind = Literal["file", "folder", "link", "device", "sparse", "other"]

BLOCK = 512
ZEROS = bytes(BLOCK)
RECORD = 20 * BLOCK
"""What archives are padded to."""
MAX_EXTENSION = 2**20
"""Longest name or pax header that is read, in bytes."""

_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "device",
    b"S": "sparse",
}
_WITHOUT_BODY = frozenset({"link", "device", "folder"})
_EXTENSIONS = frozenset({b"L", b"K", b"x", b"X", b"g"})
_CHECKSUM = slice(148, 156)
_DAMAGED = "it is damaged or was cut"


class Member(NamedTuple):
    """One entry of an archive."""

    name: str
    kind: Kind
    offset: int
    """Byte of the archive where the content begins."""
    size: int
    """Bytes of the content; all of them are in the archive."""


@dataclass(slots=True)
class _Said:
    """What extended headers say of the next member."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False


def tar_members(file: IO[bytes], num_bytes: int) -> Generator[Member]:
    """Go through the members of an archive that begins at the start of `file`.

    Names are text whatever bytes they hold. As in Python's tarfile, links, devices and folders
    have no content, whatever their header says.

    Raises:
        DataError: where the archive is damaged or cut, after the members before that place.
    """
    position, said = 0, _Said()
    while (header := _block(file, position)) != ZEROS:
        if not is_header(header):
            raise DataError(f"{_DAMAGED}: at byte {position} there is no header of a member")
        size, flag = _size(header[124:136], position), header[156:157]
        start = position + BLOCK
        if flag in _EXTENSIONS:
            _check_fits(position, start, size, num_bytes)
            _read_extension(file, flag, size, said)
        else:
            member = _member(header, _after_maps(file, header, start), size, said)
            start, size, said = member.offset, member.size, _Said()
            _check_fits(position, start, size, num_bytes)
            yield member
        position = start + -(-size // BLOCK) * BLOCK
        file.seek(position)
    if file.read(RECORD).strip(b"\0"):
        raise DataError(
            f"something follows its end at byte {position}: archives were joined, and only the "
            "first is read"
        )


def is_header(block: bytes) -> bool:
    """Tell whether a block of 512 bytes has the checksum of a header."""
    field = block[_CHECKSUM]
    expected = _octal(field)
    total = sum(block) - sum(field) + 8 * ord(" ")
    if expected == total:
        return True
    rest = block[: _CHECKSUM.start] + block[_CHECKSUM.stop :]
    return expected == total - 256 * sum(byte > 127 for byte in rest)  # some summed signed bytes


def _block(file: IO[bytes], position: int) -> bytes:
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        end = position + len(block)
        raise DataError(f"{_DAMAGED}: it ends at byte {end} without the mark of its end")
    return block


def _check_fits(position: int, start: int, size: int, num_bytes: int) -> None:
    if start + size > num_bytes:
        raise DataError(
            f"{_DAMAGED}: the member at byte {position} says it has {size} bytes, and "
            f"{max(num_bytes - start, 0)} are left"
        )


def _octal(field: bytes) -> int:
    """Return a number in octal digits, which blanks may surround and NUL ends; -1 for others."""
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits.isdigit() else -1
    except ValueError:  # an 8 or a 9
        return -1


def _size(field: bytes, position: int) -> int:
    """Return the size of a member: octal or, where digits do not suffice, in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    size = _octal(field)
    if size < 0 and field.strip(b" \0"):
        raise DataError(f"{_DAMAGED}: the size of the member at byte {position} is {field!r}")
    return max(size, 0)


def _member(header: bytes, start: int, size: int, said: _Said) -> Member:
    flag = header[156:157]
    name = said.name if said.name is not None else _own_name(header)
    kind = _KINDS.get(flag, "other")
    if flag == b"\0" and name.endswith(b"/"):
        kind = "folder"  # before ustar this was the only sign
    if said.is_sparse and kind == "file":
        kind = "sparse"
    if kind in _WITHOUT_BODY:
        size = 0
    elif said.size is not None:
        size = said.size
    return Member(name.decode("utf-8", "backslashreplace"), kind, start, size)


def _own_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:263] == b"ustar\0":
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _after_maps(file: IO[bytes], header: bytes, start: int) -> int:
    """Return where content begins: behind the further blocks that GNU's sparse files may have."""
    more = header[156:157] == b"S" and header[482]
    while more:
        more = _block(file, start)[504]
        start += BLOCK
    return start


def _read_extension(file: IO[bytes], flag: bytes, size: int, said: _Said) -> None:
    if flag not in (b"L", b"x", b"X"):
        return  # targets of links, and what would hold for all members: nobody puts names there
    if size > MAX_EXTENSION:
        raise DataError(f"a name or pax header has {size} bytes; the limit is {MAX_EXTENSION}")
    content = file.read(size)
    if flag == b"L":
        said.name = content.split(b"\0")[0]
    else:
        _read_pax(content, said)


def _read_pax(content: bytes, said: _Said) -> None:
    """Read records such as `30 path=some/long/name.jpg`, each with its length and a line break."""
    place = 0
    while place < len(content):
        length, blank, _ = content[place : place + 20].partition(b" ")
        end = place + int(length) if blank and length.isdigit() else 0
        record = content[place + len(length) + 1 : end]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not (place < end <= len(content) and equals and record.endswith(b"\n")):
            if not content[place:].strip(b"\0"):
                return
            raise DataError(f"{_DAMAGED}: a pax header is not a list of records")
        if key == b"path":
            said.name = value
        elif key == b"size":
            said.size = _decimal(value)
        elif key.startswith(b"GNU.sparse."):
            said.is_sparse = True
        place = end


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise DataError(f"{_DAMAGED}: a pax header says the size {value[:40]!r}")
    return int(value)
