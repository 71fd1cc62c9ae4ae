"""Small pictures inside a page: no files beside it, no network, no metadata."""

import base64
import io

from PIL import Image

from wordsight.images.colour import to_rgb

_QUALITY = 80


def jpeg(image: Image.Image, *, max_side: int) -> bytes:
    """Return a picture as a JPEG file of at most `max_side` pixels a side.

    It is never enlarged. EXIF, comments and colour profiles do not come along: the place where a
    photo was taken must not reach a report.

    Raises:
        ValueError: if `max_side` is not positive.
        ImageError: if its numbers have no agreed meaning as brightness.
    """
    if max_side < 1:
        raise ValueError(f"max_side must be at least 1, got {max_side}")
    small = to_rgb(image, name=f"picture of mode {image.mode}")
    small.thumbnail((max_side, max_side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def data_uri(image: Image.Image, *, max_side: int = 160) -> str:
    """Return a picture as a `data:image/jpeg;base64,` address of what `jpeg` makes of it."""
    file = jpeg(image, max_side=max_side)
    return "data:image/jpeg;base64," + base64.b64encode(file).decode("ascii")
