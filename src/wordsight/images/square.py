"""The square that a model sees, as a Pillow picture: resized and cropped by Pillow itself."""

import math

from PIL import Image

from wordsight.images.colour import to_rgb
from wordsight.images.recipe import Frame, Preprocessing, frame

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
LARGEST_RESIZED_PIXELS = 2**24
"""A strip that would grow to more pixels is cropped first."""
_REACH = 2
"""Pixels a bicubic filter looks to either side, at the coarser of the two scales."""


def resize_and_crop(image: Image.Image, recipe: Preprocessing) -> Image.Image:
    """Return the square 8-bit RGB picture the model sees, before normalisation."""
    if image.mode != "RGB":
        image = to_rgb(image, name=f"picture of mode {image.mode}")
    place, side = frame(image.size, recipe), recipe.size
    if place.width * place.height > LARGEST_RESIZED_PIXELS:
        return _middle(image, place, recipe)
    size = (place.width, place.height)
    resized = image if image.size == size else image.resize(size, FILTERS[recipe.interpolation])
    if size == (side, side):
        return resized
    if recipe.resize == "longest":
        padded = Image.new("RGB", (side, side), (recipe.fill,) * 3)
        padded.paste(resized, (-place.left, -place.top))
        return padded
    return resized.crop((place.left, place.top, place.left + side, place.top + side))


def _middle(image: Image.Image, place: Frame, recipe: Preprocessing) -> Image.Image:
    """Resize only the part that the crop keeps.

    A picture of 1 x 65500 would else grow to 224 x 14 million pixels. Pillow keeps the corners of
    a box with 24 bits, so a value may differ by one grey level from resizing the whole; hence this
    is done for strips alone.
    """
    (width, height), side = image.size, recipe.size
    new_long, offset = max(place.width, place.height), max(place.left, place.top)
    scale = max(width, height) / new_long
    start, stop = offset * scale, (offset + side) * scale
    margin = _REACH * max(scale, 1) + 1
    low = max(0, math.floor(start - margin))
    high = min(max(width, height), math.ceil(stop + margin))
    start, stop = start - low, min(stop - low, high - low)
    if width <= height:
        part, box = image.crop((0, low, width, high)), (0, start, width, stop)
    else:
        part, box = image.crop((low, 0, high, height)), (start, 0, stop, height)
    return part.resize((side, side), FILTERS[recipe.interpolation], box=box)
