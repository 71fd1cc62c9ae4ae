"""Table of contents of a zip archive, and its members one by one; nothing is ever unpacked to disk.

Written for untrusted files: sizes are checked against the file before anything is read, and what a
member unpacks to is never more than it declared. Names of members are only names. The format is
PKWARE's APPNOTE 6.3, sections 4.3 and 4.5; the parts of it that torch.save and numpy.savez use.
"""

import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wordsight.checkpoints.stored import Source, Span
from wordsight.errors import CheckpointError

STORED, DEFLATED = 0, 8
MAX_MEMBERS = 200_000
MAX_TABLE_BYTES = 64 << 20
MAX_RATIO = 1100
"""Deflate cannot do better than 1032 to 1."""
CHUNK_BYTES = 1 << 18

END = struct.Struct("<4s4H2IH")
END_64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR_64 = struct.Struct("<4sIQI")
ENTRY = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
MAX_COMMENT_BYTES = 0xFFFF
IS_LARGE = 0xFFFFFFFF
LARGE_FIELD = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive."""

    name: str
    raw_name: bytes
    method: int
    crc32: int
    num_packed: int
    num_bytes: int
    header: int
    """Place of its local header."""
    is_encrypted: bool


class ZipArchive:
    """A zip archive whose table of contents has been read and checked."""

    def __init__(self, path: Path):
        self.path = path
        self.source = Source.of(path)
        try:
            with self.source.opened() as file:
                table, number, self._table_start = _read_table(file, self.source.num_bytes)
            members = list(_members(table))
        except (ValueError, struct.error) as error:
            raise CheckpointError(
                f"{path}: damaged or cut short zip archive: {error}",
                hint="copy or download it again",
            ) from None
        self.members = {member.name: member for member in members}
        if len(members) != number or len(self.members) != number:
            raise CheckpointError(
                f"{path}: damaged zip archive: it declares {number} members and lists "
                f"{len(members)} with {len(self.members)} names"
            )

    def span(self, member: Member) -> Span:
        """Return where the bytes of a member are, packed or not.

        Raises:
            CheckpointError: if the member is encrypted, or not where the table says.
        """
        if member.is_encrypted:
            raise CheckpointError(f"{self.path}: member {member.name!r} is encrypted")
        with self.source.opened() as file:
            file.seek(member.header)
            raw = file.read(LOCAL.size)
            magic, *_, length, extra = LOCAL.unpack(raw.ljust(LOCAL.size, b"\0"))
            name = file.read(length)
        if magic != b"PK\3\4" or name != member.raw_name:
            raise CheckpointError(f"{self.path}: damaged zip archive: no {member.name!r} in place")
        start = member.header + LOCAL.size + length + extra
        if start + member.num_packed > self._table_start:
            raise CheckpointError(f"{self.path}: member {member.name!r} reaches beyond the file")
        is_known = member.method == STORED and member.crc32 != 0  # 0: torch was told to write none
        crc32 = member.crc32 if is_known else None
        return Span(self.source, start, member.num_packed, crc32)

    def chunks(self, member: Member) -> Generator[bytes]:
        """Yield the content of a member piece by piece; at the end its checksum is verified.

        Raises:
            CheckpointError: if it is damaged, or unpacks to another size than it declares.
        """
        if member.method not in (STORED, DEFLATED):
            raise CheckpointError(
                f"{self.path}: member {member.name!r} is packed by method {member.method}; "
                "only stored (0) and deflated (8) members are read"
            )
        span = self.span(member)
        crc32, size = 0, 0
        with self.source.opened() as file:
            file.seek(span.start)
            pieces = _stored if member.method == STORED else _inflated
            try:
                for piece in pieces(file, span.num_bytes):
                    crc32, size = zlib.crc32(piece, crc32), size + len(piece)
                    if size > member.num_bytes:
                        break
                    yield piece
            except zlib.error as error:
                raise CheckpointError(
                    f"{self.path}: member {member.name!r} is damaged: {error}"
                ) from None
        if size != member.num_bytes or member.crc32 not in (0, crc32):
            raise CheckpointError(
                f"{self.path}: member {member.name!r} is damaged: its size or checksum is not "
                "the one that the archive states",
                hint="copy or download it again",
            )

    def read(self, member: Member, max_bytes: int) -> bytes:
        """Return the whole content of a member.

        Raises:
            CheckpointError: if it is damaged, or larger than `max_bytes`.
        """
        if member.num_bytes > max_bytes:
            raise CheckpointError(
                f"{self.path}: member {member.name!r} has {member.num_bytes} bytes, "
                f"at most {max_bytes} are read"
            )
        return b"".join(self.chunks(member))


def _stored(file: BinaryIO, num_packed: int) -> Iterator[bytes]:
    while num_packed:
        piece = file.read(min(CHUNK_BYTES, num_packed))
        if not piece:
            return
        num_packed -= len(piece)
        yield piece


def _inflated(file: BinaryIO, num_packed: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _stored(file, num_packed):
        rest = packed
        while rest and not unpacker.eof:
            piece = unpacker.decompress(rest, CHUNK_BYTES)
            rest = unpacker.unconsumed_tail
            if piece:
                yield piece
    while not unpacker.eof and (piece := unpacker.decompress(b"", CHUNK_BYTES)):
        yield piece


def _read_table(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """Return the central directory, how many members it declares, and where it starts."""
    tail_start = max(0, size - END.size - MAX_COMMENT_BYTES - LOCATOR_64.size)
    file.seek(tail_start)
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise ValueError("its end is missing")
    end = END.unpack_from(tail, place)
    number, length, start = end[4], end[5], end[6]
    if place >= LOCATOR_64.size and tail[place - LOCATOR_64.size :].startswith(b"PK\6\7"):
        file.seek(min(LOCATOR_64.unpack_from(tail, place - LOCATOR_64.size)[2], size))
        large = END_64.unpack(file.read(END_64.size))
        if large[0] != b"PK\6\6":
            raise ValueError("its end is damaged")
        number, length, start = large[7], large[8], large[9]
    if start + length > tail_start + place:
        raise ValueError("its table of contents reaches beyond its end")
    if length > MAX_TABLE_BYTES or number > MAX_MEMBERS:
        raise ValueError(f"{number} members in a table of {length} bytes are too many")
    file.seek(start)
    return file.read(length), number, start


def _members(table: bytes) -> Iterator[Member]:
    place = 0
    while place < len(table):
        fields = ENTRY.unpack_from(table, place)
        flags, method, crc32, packed, size = fields[3], fields[4], *fields[7:10]
        name_length, extra_length, comment_length = fields[10:13]
        if fields[0] != b"PK\1\2":
            raise ValueError("its table of contents is damaged")
        place += ENTRY.size
        name = table[place : place + name_length]
        extra = table[place + name_length : place + name_length + extra_length]
        size, packed, header = _large_numbers(extra, (size, packed, fields[16]))
        if (method == STORED and size != packed) or size > packed * MAX_RATIO:
            raise ValueError(f"a member of {packed} bytes claims to unpack to {size}")
        yield Member(
            name=name.decode("utf-8" if flags & 0x800 else "cp437"),
            raw_name=name,
            method=method,
            crc32=crc32,
            num_packed=packed,
            num_bytes=size,
            header=header,
            is_encrypted=bool(flags & 1),
        )
        place += name_length + extra_length + comment_length


def _large_numbers(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace numbers that did not fit 32 bits by those of the zip64 extra field."""
    if IS_LARGE not in numbers:
        return numbers
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        place += 4
        if kind == LARGE_FIELD:
            large = iter(struct.unpack_from(f"<{length // 8}Q", extra, place))
            size, packed, header = (
                next(large, number) if number == IS_LARGE else number for number in numbers
            )
            return size, packed, header
        place += length
    return numbers
