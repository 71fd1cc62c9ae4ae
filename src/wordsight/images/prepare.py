"""From pictures to the numbers a model takes: resize, crop, scale, normalise.

Bit for bit what openai/CLIP and open_clip do through torchvision on Pillow pictures, without
either. Shape letters: N pictures, S pixels of a side; 3 channels.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.errors import ImageError
from wordsight.images.colour import to_rgb
from wordsight.images.limits import DEFAULT_LIMITS, ImageLimits
from wordsight.images.read import ImageSource, open_image

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_REACH = 2
"""Pixels a bicubic filter looks to either side, at the coarser of the two scales."""
_LARGEST_RESIZED_PIXELS = 2**24
_MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """How a picture becomes the input of a model; stored beside its weights."""

    size: int = 224
    """Side of the square the model sees, in pixels."""
    resize: Literal["shortest", "squash", "longest"] = "shortest"
    """Fit the shortest side and crop, ignore the aspect ratio, or fit the longest and pad."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Filter of the resizing."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Mean of red, green and blue, where white is 1."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Standard deviation of red, green and blue, where white is 1."""
    fill: int = 0
    """Grey value 0 to 255 of the padding that `longest` adds."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise ValueError(f"size must be 1 to 4096 pixels, got {self.size}")
        if self.resize not in ("shortest", "squash", "longest"):
            raise ValueError(f"resize must be shortest, squash or longest, got {self.resize!r}")
        if self.interpolation not in FILTERS:
            raise ValueError(f"interpolation must be bicubic or bilinear, got {self.interpolation}")
        if len(self.mean) != 3 or not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"mean must be 3 finite numbers, got {self.mean}")
        if len(self.std) != 3 or not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"std must be 3 finite numbers above 0, got {self.std}")
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill must be 0 to 255, got {self.fill}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedBatch:
    """The good pictures of a batch, and what was wrong with the others."""

    pixels: NDArray[np.float32]
    """The good ones in the order given; (N, 3, S, S)."""
    indices: list[int]
    """Place of each row of `pixels` among the sources."""
    errors: list[tuple[int, ImageError]]
    """Place and reason of every source that could not be used."""


def resize_and_crop(image: Image.Image, recipe: Preprocessing) -> Image.Image:
    """Return the square 8-bit RGB picture the model sees, before normalisation."""
    if image.mode != "RGB":
        image = to_rgb(image, name=f"picture of mode {image.mode}")
    if recipe.resize == "shortest":
        return _shortest(image, recipe)
    if recipe.resize == "squash":
        return _resized(image, (recipe.size, recipe.size), recipe)
    return _longest(image, recipe)


def prepare(
    image: Image.Image, recipe: Preprocessing, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the normalised pixels of one picture, (3, S, S), written into `out` if given."""
    if out is None:
        out = np.empty((3, recipe.size, recipe.size), np.float32)
    square = np.asarray(resize_and_crop(image, recipe))
    for channel, (mean, std) in enumerate(zip(recipe.mean, recipe.std, strict=True)):
        plane = out[channel]
        plane[...] = square[:, :, channel]
        plane /= np.float32(255)
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return out


def prepare_batch(
    sources: Sequence[ImageSource],
    recipe: Preprocessing,
    *,
    threads: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> PreparedBatch:
    """Open and prepare many pictures; a bad one costs its own place and changes no other.

    Every row is bit-identical to preparing its picture alone, whatever the number of threads.

    Args:
        threads: pictures worked on at the same time; by default one per processor, 8 at most.
    """
    pixels = np.empty((len(sources), 3, recipe.size, recipe.size), np.float32)

    def fill(index: int) -> ImageError | None:
        try:
            prepare(open_image(sources[index], limits=limits), recipe, out=pixels[index])
        except ImageError as error:
            return error
        return None

    num_threads = min(threads or min(os.cpu_count() or 1, _MOST_THREADS), max(len(sources), 1))
    if num_threads == 1:
        results = [fill(index) for index in range(len(sources))]
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            results = list(pool.map(fill, range(len(sources))))
    errors = [(index, error) for index, error in enumerate(results) if error is not None]
    indices = [index for index, error in enumerate(results) if error is None]
    return PreparedBatch(
        pixels=pixels[indices] if errors else pixels, indices=indices, errors=errors
    )


def _resized(image: Image.Image, size: tuple[int, int], recipe: Preprocessing) -> Image.Image:
    return image if image.size == size else image.resize(size, FILTERS[recipe.interpolation])


def _shortest(image: Image.Image, recipe: Preprocessing) -> Image.Image:
    side, (width, height) = recipe.size, image.size
    short, long = min(width, height), max(width, height)
    new_long = int(side * long / short)
    offset = round((new_long - side) / 2)
    if side * new_long > _LARGEST_RESIZED_PIXELS:
        return _middle(image, new_long, offset, recipe)
    if width <= height:
        resized, left, top = _resized(image, (side, new_long), recipe), 0, offset
    else:
        resized, left, top = _resized(image, (new_long, side), recipe), offset, 0
    return resized if new_long == side else resized.crop((left, top, left + side, top + side))


def _middle(image: Image.Image, new_long: int, offset: int, recipe: Preprocessing) -> Image.Image:
    """Resize only the part that the crop keeps.

    A picture of 1 x 65500 would else grow to 224 x 14 million pixels. Pillow keeps the corners of
    a box with 24 bits, so a value may differ by one grey level from resizing the whole; hence this
    is done for strips alone.
    """
    (width, height), side = image.size, recipe.size
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


def _longest(image: Image.Image, recipe: Preprocessing) -> Image.Image:
    side = recipe.size
    ratio = max(image.width / side, image.height / side)
    size = (max(1, round(image.width / ratio)), max(1, round(image.height / ratio)))
    resized = _resized(image, size, recipe)
    if size == (side, side):
        return resized
    padded = Image.new("RGB", (side, side), (recipe.fill,) * 3)
    padded.paste(resized, ((side - size[0]) // 2, (side - size[1]) // 2))
    return padded
