"""From pictures to the numbers a model takes: resize, crop, scale, normalise.

What openai/CLIP and open_clip do through torchvision on Pillow pictures, without either: to the
bit in `prepare` and where `Reading.exact` asks for it, else within one grey level.

Shape letters: N pictures, H W pixels, S pixels of a side; 3 channels.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.errors import ImageError
from wordsight.images.colour import to_rgb
from wordsight.images.read import ImageSource, Pixels, open_pixels
from wordsight.images.reading import DEFAULT_READING, Reading
from wordsight.images.recipe import Frame, Preprocessing, frame
from wordsight.images.resample import is_height_first, resample
from wordsight.images.square import LARGEST_RESIZED_PIXELS, resize_and_crop
from wordsight.images.taps import taps
from wordsight.images.workspace import Workspace

_MOST_THREADS = 8
_LARGEST_SIDE = 2**13
"""Pixels; the weights of longer pictures would take megabytes, and they are kept."""
_LARGEST_ROWS = 2**22
"""Values of a channel between the two passes of a resizing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedBatch:
    """The good pictures of a batch, and what was wrong with the others."""

    pixels: NDArray[np.float32]
    """The good ones in the order given; (N, 3, S, S)."""
    indices: list[int]
    """Place of each row of `pixels` among the sources."""
    errors: list[tuple[int, ImageError]]
    """Place and reason of every source that could not be used."""


def prepare(
    image: Image.Image, recipe: Preprocessing, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the normalised pixels of one picture, (3, S, S), written into `out` if given.

    They are torchvision's to the bit.
    """
    if out is None:
        out = np.empty((3, recipe.size, recipe.size), np.float32)
    if image.mode != "RGB":
        image = to_rgb(image, name=f"picture of mode {image.mode}")
    _prepare(Pixels(np.asarray(image), image.size), recipe, out, Workspace(), exact=True)
    return out


def prepare_batch(
    sources: Sequence[ImageSource],
    recipe: Preprocessing,
    *,
    threads: int | None = None,
    reading: Reading = DEFAULT_READING,
) -> PreparedBatch:
    """Open and prepare many pictures; a bad one costs its own place and changes no other.

    Every row is bit-identical to preparing its picture alone, whatever the number of threads.

    Args:
        sources: files, bytes, pictures or arrays.
        recipe: how the model wants them.
        threads: pictures worked on at the same time; by default one per processor, 8 at most.
        reading: how files are read.
    """
    pixels = np.empty((len(sources), 3, recipe.size, recipe.size), np.float32)
    results: list[ImageError | None] = [None] * len(sources)
    least = recipe.size if reading.scaled_jpeg else None

    def work(places: Iterator[int]) -> None:
        workspace = Workspace()
        for index in places:
            try:
                opened = open_pixels(
                    sources[index], limits=reading.limits, least=least, workspace=workspace
                )
            except ImageError as error:
                results[index] = error
            else:
                _prepare(opened, recipe, pixels[index], workspace, exact=reading.exact)

    places = iter(range(len(sources)))  # shared: each thread takes the next picture
    num_threads = min(threads or min(os.cpu_count() or 1, _MOST_THREADS), max(len(sources), 1))
    if num_threads == 1:
        work(places)
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            list(pool.map(work, [places] * num_threads))
    errors = [(index, error) for index, error in enumerate(results) if error is not None]
    indices = [index for index, error in enumerate(results) if error is None]
    return PreparedBatch(
        pixels=pixels[indices] if errors else pixels, indices=indices, errors=errors
    )


def _prepare(
    picture: Pixels,
    recipe: Preprocessing,
    out: NDArray[np.float32],
    workspace: Workspace,
    *,
    exact: bool,
) -> None:
    place = frame(picture.size, recipe)
    height, width, _ = picture.values.shape
    longest = max(height, width)
    is_strip = place.width * place.height > LARGEST_RESIZED_PIXELS
    if is_strip or longest > _LARGEST_SIDE or longest * recipe.size > _LARGEST_ROWS:
        image = Image.fromarray(np.ascontiguousarray(picture.values))
        out[...] = np.asarray(resize_and_crop(image, recipe)).transpose(2, 0, 1)
    else:
        _fill(picture.values, place, recipe, out, workspace, exact=exact)
    for plane, mean, std in zip(out, recipe.mean, recipe.std, strict=True):
        plane /= np.float32(255)
        plane -= np.float32(mean)
        plane /= np.float32(std)


def _fill(
    values: NDArray[np.uint8],
    place: Frame,
    recipe: Preprocessing,
    out: NDArray[np.float32],
    workspace: Workspace,
    *,
    exact: bool,
) -> None:
    height, width, _ = values.shape
    columns = _kept(place.left, place.width, recipe.size)
    rows = _kept(place.top, place.height, recipe.size)
    if recipe.resize == "longest":
        out.fill(recipe.fill)
    resample(
        values,
        taps(width, place.width, *columns, recipe.interpolation),
        taps(height, place.height, *rows, recipe.interpolation),
        height_first=is_height_first((width, height), (place.width, place.height)),
        exact=exact,
        out=out[
            :,
            rows[0] - place.top : rows[1] - place.top,
            columns[0] - place.left : columns[1] - place.left,
        ],
        workspace=workspace,
    )


def _kept(offset: int, length: int, side: int) -> tuple[int, int]:
    """Return the first and the end of what a square keeps of one side of a resized picture."""
    return max(0, offset), min(length, offset + side)
