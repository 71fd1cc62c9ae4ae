"""The random squares that training looks at.

What is drawn for a picture depends on the generator it is given and on nothing else.
"""

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance

from wordsight.images.colour import to_rgb
from wordsight.images.recipe import Preprocessing
from wordsight.images.square import FILTERS, resize_and_crop

Crop = Literal["paper", "strong", "none"]

GENTLE = (0.9, 1.0)
"""Share of the area that a random square of the paper's kind shows."""
STRONG = (0.4, 1.0)
WIDEST = math.log(4 / 3)
JITTER = (0.7, 1.3)


def random_square(
    image: Image.Image, recipe: Preprocessing, crop: Crop, generator: np.random.Generator
) -> Image.Image:
    """Return the square 8-bit RGB picture that a model learns from, before normalisation.

    `paper`: a random square of the resized picture, its only augmentation (section 2.3; between 0.9
    and 1 of the largest square, as reproductions have it, so that square pictures vary too).
    `strong`: 0.4 to 1 of the area at an aspect of 3:4 to 4:3, mirrored or not, with other
    brightness, contrast and colour. `none`: what the model sees in use.
    """
    if crop == "none":
        return resize_and_crop(image, recipe)
    if image.mode != "RGB":
        image = to_rgb(image, name=f"picture of mode {image.mode}")
    box = _box(image.size, crop, generator)
    square = image.resize((recipe.size, recipe.size), FILTERS[recipe.interpolation], box=box)
    return square if crop == "paper" else _varied(square, generator)


def _box(
    size: tuple[int, int], crop: Crop, generator: np.random.Generator
) -> tuple[float, float, float, float]:
    width, height = size
    if crop == "paper":
        side = min(width, height) * math.sqrt(generator.uniform(*GENTLE))
        wide, high = side, side
    else:
        area = width * height * generator.uniform(*STRONG)
        aspect = math.exp(generator.uniform(-WIDEST, WIDEST))
        wide = min(width, math.sqrt(area * aspect))
        high = min(height, math.sqrt(area / aspect))
    left = generator.uniform(0, width - wide)
    top = generator.uniform(0, height - high)
    return left, top, left + wide, top + high


def _varied(square: Image.Image, generator: np.random.Generator) -> Image.Image:
    if generator.random() < 0.5:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        square = kind(square).enhance(generator.uniform(*JITTER))
    return square
