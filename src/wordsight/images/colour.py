"""Any pixels to 8-bit RGB, by rules that are the same for files, Pillow pictures and arrays.

    transparency        laid over white
    16-bit grey         value / 257, rounded: the full range 0..65535 becomes 0..255. A camera that
                        fills only 12 of the 16 bits gives a dark picture: scale it before.
    16-bit colour       as Pillow: the high byte
    floating point      0..1 becomes 0..255, rounded; values outside, and NaN, are refused
    CMYK, YCbCr, Lab    as Pillow converts them; ICC profiles are ignored
    1-bit, grey         the same value in all three channels

Shape letters: H W pixels, C channels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.errors import ImageError

_WHITE = (255, 255, 255)
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_MAY_HAVE_COLOUR_KEY = frozenset({"1", "L", "P", "RGB"})


def to_rgb(image: Image.Image, *, name: str) -> Image.Image:
    """Return a new 8-bit RGB picture without metadata.

    Raises:
        ImageError: if its numbers have no agreed meaning as brightness.
    """
    if image.mode.startswith("I;16"):
        rgb = _from_grey(_sixteen_bit_to_grey(np.asarray(image)))
    elif image.mode == "I":
        rgb = _from_grey(_integers_to_grey(np.asarray(image), name=name))
    elif image.mode == "F":
        rgb = _from_grey(_floats_to_bytes(np.asarray(image), name=name))
    elif image.mode in _WITH_ALPHA or (
        image.mode in _MAY_HAVE_COLOUR_KEY and "transparency" in image.info
    ):
        rgb = _over_white(image)
    else:
        rgb = image.convert("RGB")
    rgb.info.clear()
    return rgb


def array_to_rgb(array: NDArray[Any], *, name: str) -> Image.Image:
    """Return the picture an array of shape (H, W) or (H, W, C) holds, C being 1, 3 or 4.

    Raises:
        ImageError: for another shape, a type other than bool, uint8, uint16 and floating point, or
            floating-point values outside 0..1.
    """
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not has_shape or not array.size:
        raise ImageError(
            f"{name}: cannot be a picture; expected (height, width) or (height, width, 1, 3 or 4)",
            hint="move the channels to the last axis, and pass the pictures of a batch one by one",
        )
    values = _to_bytes(array, name=name)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(values))
    return _over_white(image) if image.mode == "RGBA" else image.convert("RGB")


def _to_bytes(array: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _sixteen_bit_to_grey(array)
    if np.issubdtype(array.dtype, np.floating):
        return _floats_to_bytes(array, name=name)
    raise ImageError(
        f"{name}: {array.dtype} values have no fixed meaning as brightness; "
        "expected bool, uint8, uint16, or floating point in 0..1",
        hint="convert it with array.astype('uint8') if its values are 0 to 255",
    )


def _sixteen_bit_to_grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _integers_to_grey(values: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise ImageError(
            f"{name}: 32-bit grey values from {low} to {high}; expected 0 to 65535",
            hint="save it with 8 or 16 bits per channel",
        )
    return _sixteen_bit_to_grey(values)


def _floats_to_bytes(values: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 1:
        raise ImageError(
            f"{name}: floating-point values from {low:g} to {high:g}; expected 0 to 1",
            hint="scale the brightness to 0..1, or save it with 8 or 16 bits per channel",
        )
    return np.rint(values * 255).astype(np.uint8)


def _from_grey(values: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(values).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    # Conversion to RGBA writes into the palette of a P picture, which may be the caller's.
    rgba = image.copy() if image.mode == "P" else image
    if rgba.mode in ("La", "PA"):
        rgba = rgba.convert("LA" if rgba.mode == "La" else "RGBA")
    if rgba.mode != "RGBA":
        rgba = rgba.convert("RGBA")
    white = Image.new("RGB", rgba.size, _WHITE)
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
