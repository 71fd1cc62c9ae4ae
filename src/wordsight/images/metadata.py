"""What a file says besides its pixels: the camera's orientation, and parts no decoder needs.

Pillow reads EXIF, colour profiles and comments while it opens a file: that costs time on a file
with megabytes of them, and damaged ones make it warn. Neither changes a pixel, so the decoder is
given JPEG and PNG files without them, and the one value that matters is read here.
"""

import struct

_JPEG_KEPT = frozenset({0xE0, 0xEE})
"""APP0 (JFIF) and APP14 (Adobe) decide the colour space."""

_PNG_SIGNATURE_BYTES = 8

_ORIENTATION_TAG = 0x0112
_EXIF_PREFIX = b"Exif\0\0"


def split_metadata(data: bytes, file_format: str) -> tuple[bytes, bytes]:
    """Return the bytes a decoder needs, and the EXIF block (empty where there is none).

    A file that does not follow its format is handed on from the first such place unchanged: what
    to say about it is the decoder's matter.
    """
    if file_format == "JPEG":
        return _split_jpeg(data)
    if file_format == "PNG":
        return _split_png(data)
    return (data, _webp_exif(data)) if file_format == "WEBP" else (data, b"")


def _split_jpeg(data: bytes) -> tuple[bytes, bytes]:
    view, exif, position, end = memoryview(data), b"", 2, len(data)
    kept = [view[:2]]
    while position + 4 <= end and data[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, position + 1)
        following = position + 2 + length
        has_length = 0xC0 <= marker <= 0xFE and not 0xD0 <= marker <= 0xDA
        if not has_length or length < 2 or following > end:
            break
        is_metadata = (0xE0 <= marker <= 0xEF and marker not in _JPEG_KEPT) or marker == 0xFE
        if not is_metadata:
            kept.append(view[position:following])
        elif not exif and data.startswith(_EXIF_PREFIX, position + 4):
            exif = data[position + 4 : following]
        position = following
    kept.append(view[position:])
    return b"".join(kept), exif


def _split_png(data: bytes) -> tuple[bytes, bytes]:
    view, exif, position = memoryview(data), b"", _PNG_SIGNATURE_BYTES
    kept = [view[:position]]
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        following = position + 12 + length
        if following > len(data):
            break
        is_critical = not name[0] & 0x20
        if is_critical or name == b"tRNS":
            kept.append(view[position:following])
        elif name == b"eXIf" and not exif:
            exif = data[position + 8 : following - 4]
        position = following
    kept.append(view[position:])
    return b"".join(kept), exif


def _webp_exif(data: bytes) -> bytes:
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            return data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return b""


def orientation(exif: bytes) -> int:
    """Return the orientation 1 to 8 an EXIF block states; 1 where it states none that is valid."""
    block = memoryview(exif.removeprefix(_EXIF_PREFIX).removeprefix(_EXIF_PREFIX))
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "I", block, 4)
        (num_entries,) = struct.unpack_from(order + "H", block, offset)
        for entry in range(offset + 2, offset + 2 + 12 * num_entries, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == _ORIENTATION_TAG:
                code = {1: "B", 3: "H", 4: "I"}.get(kind, "H")
                (value,) = struct.unpack_from(order + code, block, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def gif_size(data: bytes) -> tuple[int, int] | None:
    """Return the size a decoder would allocate for the first frame, or None if there is none.

    A frame may lie outside its screen; Pillow then allocates a buffer of both before it can be
    asked how large the picture is.
    """
    try:
        width, height, flags = struct.unpack_from("<HHB", data, 6)
        position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while data[position] == 0x21:
            position += 2
            while data[position]:
                position += 1 + data[position]
            position += 1
        if data[position] != 0x2C:
            return None
        left, top, inner_width, inner_height = struct.unpack_from("<4H", data, position + 1)
    except (struct.error, IndexError):
        return None
    return max(width, left + inner_width), max(height, top + inner_height)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return the canvas of a WebP, which its decoder allocates as soon as it is made, or None."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
