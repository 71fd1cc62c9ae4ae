"""Opening pictures: one function that gives the right pixels or says what is wrong with the file.

What is checked, in this order, so that a hostile file costs nothing: that it is a file, its size in
bytes, its format, its width and height as the header states them; only then are pixels decoded.
Nothing of Pillow's global state is read or changed: its own limit on pixels and the warnings that
go with it are bypassed by opening each format with its own reader, never through `Image.open`.
"""

import errno
import io
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from wordsight.images.limits import DEFAULT_LIMITS, ImageLimits
from wordsight.images.metadata import gif_size, orientation, split_metadata, webp_size
from wordsight.images.signature import foreign_kind, readable_format

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

_OS_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "permission to read it is denied",
    errno.EPERM: "permission to read it is denied",
    errno.ELOOP: "the link leads in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "it is a folder; expected a picture",
}

_TILE_WIDTH_TAG, _TILE_LENGTH_TAG = 322, 323


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
        return _open_bytes(source, limits, name=f"picture of {len(source)} bytes")
    path = Path(source)
    return _open_bytes(_read(path, limits), limits, name=str(path))


def _read(path: Path, limits: ImageLimits) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: it is a pipe or device; expected a file")
        _check_bytes(status.st_size, limits, name=str(path))
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)  # one too many shows that it grew meanwhile
    except OSError as error:
        reason = _OS_REASONS.get(error.errno or 0) or f"cannot be read: {error.strerror}"
        raise ImageError(f"{path}: {reason}") from None
    except ValueError:
        raise ImageError(f"{str(path)!r}: not a file name") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to read it") from None


def _open_bytes(data: bytes, limits: ImageLimits, *, name: str) -> Image.Image:
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)", hint="copy it again")
    _check_bytes(len(data), limits, name=name)
    file_format = readable_format(data)
    if file_format not in limits.formats:
        kind = (file_format and f"a {file_format} picture") or foreign_kind(data)
        raise ImageError(
            f"{name}: the file is {kind}; expected one of {', '.join(limits.formats)}",
            hint="save it as JPEG or PNG; the name of a file does not matter, its content does",
        )
    needed, exif = split_metadata(data, file_format)
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


def _check_bytes(num_bytes: int, limits: ImageLimits, *, name: str) -> None:
    if num_bytes == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes)", hint="copy it again")
    if num_bytes > limits.max_bytes:
        raise ImageError(f"{name}: {num_bytes} bytes; the limit is {limits.max_bytes}")


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
