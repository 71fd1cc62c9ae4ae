"""Decoding JPEG files with libjpeg-turbo itself, which takes half the time that Pillow takes.

The pixels are Pillow's: both leave the work to libjpeg-turbo, with the accurate cosine transform
and smooth colour planes. Whatever is unusual (four colours, 12 bits, rare sampling of the colours)
or makes the decoder so much as warn is left to Pillow, which decodes it or says what is wrong.
"""

import struct
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.images.workspace import Workspace

_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive; the others are arithmetic, lossless or hierarchical."""
_SPACES = frozenset({"YCbCr", "Gray", "RGB"})


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG of the common kinds, from its header; None for others."""
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker in _FRAMES:
            bits, height, width, num_planes = struct.unpack_from(">BHHB", data, position + 4)
            is_common = bits == 8 and num_planes in (1, 3) and width and height
            return (width, height) if is_common else None
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xDA or length < 2:
            return None
        position += 2 + length
    return None


def decode_jpeg(
    data: bytes, size: tuple[int, int], *, least: int | None = None, workspace: Workspace
) -> NDArray[np.uint8] | None:
    """Return the pixels of a JPEG, (H, W, 3), in memory of the workspace; None to ask Pillow.

    Args:
        data: the file, without metadata.
        size: what `jpeg_size` says; no memory is used for a file that states another.
        least: decode at a half of the size or less, as long as both sides have this many pixels.
        workspace: memory that may be overwritten.
    """
    try:
        simplejpeg: Any = import_module("simplejpeg")
    except ImportError:  # there is no wheel of it for every machine
        return None
    width, height = size
    shrink = {"min_height": least, "min_width": least, "min_factor": 2} if least else {}
    try:
        header = simplejpeg.decode_jpeg_header(data)
        if header[:2] != (height, width) or header[2] not in _SPACES:
            return None
        buffer = workspace.bytes("picture", height, width, 3)
        return simplejpeg.decode_jpeg(data, buffer=buffer, **shrink)
    except (ValueError, MemoryError):
        return None
