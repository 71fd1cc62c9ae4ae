"""The wire format of protocol buffers, as much of it as reading a message needs.

A message is a row of fields: a number that says which field it is and how it is written, and the
value. There is no schema in the file, so whoever reads a value says what it must be.
"""

import struct
from collections.abc import Generator

from wordsight.errors import TextError

Value = int | bytes
"""A varint or a 32-bit field is a number, a field with a length is its bytes."""


def fields(message: bytes, *, where: str) -> Generator[tuple[int, Value]]:
    """Yield number and value of every field; those of 64 bits are passed over.

    Raises:
        TextError: if the message ends inside a field, or is no message at all.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place, where)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise TextError(f"{where}: not a protocol buffer: field 0 at byte {place}")
        if kind == 0:
            value, place = _varint(message, place, where)
            yield number, value
        elif kind == 2:
            size, place = _varint(message, place, where)
            _check_room(message, place, size, where)
            yield number, message[place : place + size]
            place += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            _check_room(message, place, size, where)
            if kind == 5:
                yield number, int.from_bytes(message[place : place + 4], "little")
            place += size
        else:
            raise TextError(f"{where}: not a protocol buffer: kind {kind} at byte {place}")


def number(value: Value, *, where: str) -> int:
    """Return a field that must be a number.

    Raises:
        TextError: if it is not.
    """
    if isinstance(value, int):
        return value
    raise TextError(f"{where}: expected a number, got {len(value)} bytes")


def signed(value: Value, *, where: str) -> int:
    """Return a field that must be a number, of the type int32: -1 is written with 64 bits.

    Raises:
        TextError: if it is not.
    """
    low = number(value, where=where) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def floating(value: Value, *, where: str) -> float:
    """Return a field that must be a number, of the type float.

    Raises:
        TextError: if it is not.
    """
    bits = number(value, where=where)
    if bits >> 32:
        raise TextError(f"{where}: expected 32 bits, got {bits}")
    result: float
    (result,) = struct.unpack("<f", struct.pack("<I", bits))
    return result


def content(value: Value, *, where: str) -> bytes:
    """Return a field that must be bytes: a message, or raw.

    Raises:
        TextError: if it is not.
    """
    if isinstance(value, int):
        raise TextError(f"{where}: expected bytes, got the number {value}")
    return value


def text(value: Value, *, where: str) -> str:
    """Return a field that must be text.

    Raises:
        TextError: if it is not.
    """
    try:
        return content(value, where=where).decode()
    except UnicodeDecodeError as error:
        raise TextError(f"{where}: not UTF-8 text: {error}") from None


def _varint(message: bytes, place: int, where: str) -> tuple[int, int]:
    result = shift = 0
    for index in range(place, min(place + 10, len(message))):
        byte = message[index]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, index + 1
        shift += 7
    raise TextError(f"{where}: not a protocol buffer: a number has no end at byte {place}")


def _check_room(message: bytes, place: int, size: int, where: str) -> None:
    if size > len(message) - place:
        raise TextError(
            f"{where}: ends inside a field: {size} bytes from byte {place} on, "
            f"there are {len(message) - place}"
        )
