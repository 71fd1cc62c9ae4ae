"""The text encodings that tables come in, decided strictly: nothing is replaced or dropped.

A byte-order mark decides (UTF-8, UTF-16). Without one the bytes must be UTF-8, or else CP932,
which is what Excel on a Japanese Windows writes. Western 8-bit text can be valid CP932 by
accident, so the encoding that was chosen is always reported to the user.
"""

import codecs

from wordsight.errors import DataError

HINT = 'save the file as UTF-8 (Excel: Save As, "CSV UTF-8")'
# Python gives these bytes a private meaning; no character of CP932 has them.
UNASSIGNED_IN_CP932 = "\x80\uf8f0\uf8f1\uf8f2\uf8f3"


def decode(data: bytes, *, name: str) -> tuple[str, str]:
    """Return the text of `data` and the name of its encoding.

    Raises:
        DataError: if no encoding fits; the message has line and byte.
    """
    for mark, codec, label in (
        (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
    ):
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(codec), label
            except UnicodeDecodeError as error:
                place = _place(data, len(mark) + error.start, codec)
                raise DataError(
                    f"{name}: begins with the mark of {label}, but {place} is not {label}",
                    hint=HINT,
                ) from None
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        utf8_stop = error.start
    text, stop = _decode_cp932(data)
    if stop >= 0:
        raise DataError(
            f"{name}: neither UTF-8 (stops at {_place(data, utf8_stop)}) "
            f"nor CP932 (stops at {_place(data, stop)})",
            hint=HINT,
        )
    return text, "cp932"


def _decode_cp932(data: bytes) -> tuple[str, int]:
    """Decode and return -1, or the offset of the first byte that is not CP932."""
    try:
        text = data.decode("cp932")
    except UnicodeDecodeError as error:
        return "", error.start
    places = [text.find(character) for character in UNASSIGNED_IN_CP932]
    first = min((place for place in places if place >= 0), default=-1)
    return text, first if first < 0 else len(text[:first].encode("cp932"))


def _place(data: bytes, offset: int, codec: str = "utf-8") -> str:
    """Name a byte the way an editor does: line and byte of that line, both from 1."""
    byte = f"0x{data[offset]:02x}"
    if codec != "utf-8":
        line = 1 + data[2:offset].decode(codec, "replace").count("\n")
        return f"line {line} (byte {offset + 1} of the file, {byte})"
    line = 1 + data.count(b"\n", 0, offset)
    line_start = data.rfind(b"\n", 0, offset)
    return f"line {line}, byte {offset - line_start} ({byte})"
