"""Opening pictures: one function that gives the right pixels or says what is wrong with the file.

What is checked, in this order, so that a hostile file costs nothing: that it is a file, its size in
bytes, its format, its width and height as the header states them; only then are pixels decoded.
Nothing of Pillow's global state is read or changed: its own limit on pixels and the warnings that
go with it are bypassed by opening each format with its own reader, never through `Image.open`.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from wordsight.errors import ImageError
from wordsight.images.colour import array_to_rgb, to_rgb
from wordsight.images.content import check_format, read_content
from wordsight.images.jpeg import decode_jpeg, jpeg_size
from wordsight.images.limits import DEFAULT_LIMITS, ImageLimits
from wordsight.images.metadata import gif_size, orientation, split_metadata, webp_size
from wordsight.images.workspace import Workspace

ImageSource = str | Path | bytes | Image.Image | NDArray[Any]

_READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "PPM": PpmImageFile,
}

_DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Warning,  # only where the caller turned warnings into errors: Image.DecompressionBombWarning...
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_BACK = slice(None, None, -1)
_VIEWS = {
    1: (),
    2: (slice(None), _BACK),
    3: (_BACK, _BACK),
    4: (_BACK,),
    5: (),
    6: (slice(None), _BACK),
    7: (_BACK, _BACK),
    8: (_BACK,),
}
"""The same as `_TURNS` for an array, whose axes are swapped first from 5 on."""

_TILE_WIDTH_TAG, _TILE_LENGTH_TAG = 322, 323


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture as numbers."""

    values: NDArray[np.uint8]
    """Red, green and blue, upright, with any strides; (H, W, 3)."""
    size: tuple[int, int]
    """Width and height of the picture; those of `values` unless it was decoded smaller."""


def open_image(source: ImageSource, *, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return a picture as 8-bit RGB, upright and fully decoded, or say why it cannot be.

    The camera's EXIF orientation is applied, transparency is laid over white, and of several
    frames or pages the first is taken; `wordsight.images.colour` lists the other rules. The result
    is new and carries no metadata. A file that is cut short is an error, never a grey half.

    Args:
        source: a path, the bytes of a file, a Pillow picture, or an array (see `array_to_rgb`).

    Raises:
        ImageError: with the name of the file and a reason.
    """
    opened = _open(source, limits, least=None, workspace=Workspace())
    if isinstance(opened, Pixels):
        return Image.fromarray(np.ascontiguousarray(opened.values))
    return opened


def open_pixels(
    source: ImageSource,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    least: int | None = None,
    workspace: Workspace | None = None,
) -> Pixels:
    """Return what `open_image` does, as an array: nothing is copied that need not be.

    Args:
        source: a path, the bytes of a file, a Pillow picture, or an array.
        limits: what a picture may weigh.
        least: let large JPEG files be decoded smaller, with this many pixels a side at least.
        workspace: memory that may be overwritten, and that the result may lie in.

    Raises:
        ImageError: with the name of the file and a reason.
    """
    opened = _open(source, limits, least=least, workspace=workspace or Workspace())
    return opened if isinstance(opened, Pixels) else Pixels(np.asarray(opened), opened.size)


def _open(
    source: ImageSource, limits: ImageLimits, *, least: int | None, workspace: Workspace
) -> Image.Image | Pixels:
    if isinstance(source, ndarray):
        name = f"array of shape {source.shape} and type {source.dtype}"
        if source.ndim >= 2:
            _check_size((source.shape[1], source.shape[0]), limits, name=name)
        return array_to_rgb(source, name=name)
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or f"picture of mode {source.mode}"
        _check_size(source.size, limits, name=name)
        # A TIFF turns itself while it loads.
        exif = b"" if source.format == "TIFF" else source.info.get("exif", b"")
        turn = orientation(exif) if isinstance(exif, bytes) else 1
        return _decode(source, turn, name=name, what="picture")
    if isinstance(source, bytes):
        data, name = source, f"picture of {len(source)} bytes"
    else:
        path = Path(source)
        data, name = read_content(path, limits), str(path)
    file_format = check_format(data, limits, name=name)
    needed, exif = split_metadata(data, file_format)
    size = jpeg_size(needed) if file_format == "JPEG" else None
    if size is not None:
        _check_size(size, limits, name=name)
        values = decode_jpeg(needed, size, least=least, workspace=workspace)
        if values is not None:
            return _turned(values, size, orientation(exif))
    return _decode_file(needed, exif, file_format, limits, name=name)


def _turned(values: NDArray[np.uint8], size: tuple[int, int], turn: int) -> Pixels:
    width, height = size
    if turn > 4:
        return Pixels(values.swapaxes(0, 1)[_VIEWS[turn]], (height, width))
    return Pixels(values[_VIEWS[turn]], size)


def _decode_file(
    needed: bytes, exif: bytes, file_format: str, limits: ImageLimits, *, name: str
) -> Image.Image:
    early = {"GIF": gif_size, "WEBP": webp_size}.get(file_format)
    size = early(needed) if early else None
    if size is not None:
        _check_size(size, limits, name=name)
    try:
        image = _READERS[file_format](io.BytesIO(needed))
    except _DECODING_ERRORS as error:
        raise _damaged(error, name=name, what=file_format) from None
    _check_size(image.size, limits, name=name)
    if isinstance(image, TiffImageFile):
        _check_tiles(image, limits, name=name)
    return _decode(image, orientation(exif), name=name, what=file_format)


def _decode(image: Image.Image, turn: int, *, name: str, what: str) -> Image.Image:
    try:
        image.load()
        rgb = to_rgb(image, name=name)
    except _DECODING_ERRORS as error:
        raise _damaged(error, name=name, what=what) from None
    return rgb.transpose(_TURNS[turn]) if turn in _TURNS else rgb


def _damaged(error: Exception, *, name: str, what: str) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"{name}: not enough memory to decode it")
    text = str(error).lower()
    is_short = isinstance(error, EOFError) or "truncat" in text or "not enough" in text
    state = "is cut short" if is_short else "is damaged or of an unusual kind"
    return ImageError(
        f"{name}: the {what} data {state} ({error})",
        hint="copy the file again from its source, or save it anew as PNG",
    )


def _check_size(size: tuple[int, int], limits: ImageLimits, *, name: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: {width} x {height} pixels; expected at least 1 x 1")
    if max(width, height) > limits.max_side:
        raise ImageError(
            f"{name}: {width} x {height} pixels; the limit for one side is {limits.max_side}"
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels; the limit is {limits.max_pixels} in all",
            hint="save it smaller, or raise max_pixels if the file can be trusted",
        )


def _check_tiles(image: TiffImageFile, limits: ImageLimits, *, name: str) -> None:
    # One tile is decoded whole, however little of it the picture shows.
    tags: Any = image.tag_v2
    width, height = tags.get(_TILE_WIDTH_TAG, 1), tags.get(_TILE_LENGTH_TAG, 1)
    if isinstance(width, int) and isinstance(height, int) and width and height:
        _check_size((width, height), limits, name=f"{name}: a tile of")
