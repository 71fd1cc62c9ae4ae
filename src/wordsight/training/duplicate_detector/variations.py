"""What happens to a picture on its way through the world, at random (appendix C of the paper).

Crop and zoom, another aspect, a minor rotation, down and up in size, JPEG, hue, saturation and
brightness, each resize with an interpolation of its own. Nothing is mirrored: a mirrored picture is
another one to most tasks, and the paper does not name it.
"""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.images import open_image

AREA = (0.35, 1.0)
"""Share of the area that a crop shows."""
WIDEST = math.log(4 / 3)
"""Aspect distortion, as a logarithm, either way."""
TURN = 5.0
"""Degrees, either way."""
SMALLEST = 0.4
"""How far a picture is scaled down before it is scaled up again."""
QUALITY = (25, 96)
"""JPEG, from the first to below the second."""
HUE, SATURATION, BRIGHTNESS = 8, 0.35, 0.3
"""Steps of 256 on the colour circle; shares, either way."""
FILTERS = (
    Image.Resampling.NEAREST,
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def vary(image: Image.Image, size: int, random: np.random.Generator) -> Image.Image:
    """Return a square copy of an RGB picture, `size` pixels a side, changed at random.

    Every change but the resize is left out now and then, so that slight copies occur as well.
    """
    if random.random() < 0.5:
        image = _turned(image, random.uniform(-TURN, TURN))
    box = _box(image.size, random) if random.random() < 0.9 else None
    if random.random() < 0.5:
        small = max(8, round(size * random.uniform(SMALLEST, 1.0)))
        image, box = image.resize((small, small), _filter(random), box=box), None
    image = image.resize((size, size), _filter(random), box=box)
    if random.random() < 0.7:
        image = _tinted(image, random)
    return _compressed(image, int(random.integers(*QUALITY))) if random.random() < 0.5 else image


def plain(image: Image.Image, size: int) -> Image.Image:
    """Return a picture as the detector looks at it: the whole of it, squeezed into a square."""
    return image.resize((size, size), Image.Resampling.BOX)


def pixels(images: list[Image.Image]) -> NDArray[np.float32]:
    """Return square pictures of one size as numbers (B, 3, H, W) from -1 to 1."""
    array = np.stack([np.asarray(image, np.float32) for image in images])
    array = array.transpose(0, 3, 1, 2) / 127.5 - 1
    return np.ascontiguousarray(array)


def _filter(random: np.random.Generator) -> Image.Resampling:
    return FILTERS[int(random.integers(len(FILTERS)))]


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate, and cut away the corners that came from outside, half of either side at most."""
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    lost = math.sin(math.radians(abs(degrees))) / 2
    width, height = image.size
    x, y = int(min(height * lost, width / 4)), int(min(width * lost, height / 4))
    return turned.crop((x, y, width - x, height - y))


def _box(size: tuple[int, int], random: np.random.Generator) -> tuple[float, float, float, float]:
    width, height = size
    scale = math.sqrt(random.uniform(*AREA))
    stretch = math.exp(random.uniform(-WIDEST, WIDEST) / 2)
    wide, high = min(width, width * scale * stretch), min(height, height * scale / stretch)
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    return left, top, left + wide, top + high


def _tinted(image: Image.Image, random: np.random.Generator) -> Image.Image:
    hsv = np.asarray(image.convert("HSV"), np.float32).copy()
    hsv[..., 0] = (hsv[..., 0] + random.uniform(-HUE, HUE)) % 256
    hsv[..., 1] *= 1 + random.uniform(-SATURATION, SATURATION)
    hsv[..., 2] *= 1 + random.uniform(-BRIGHTNESS, BRIGHTNESS)
    content = hsv.clip(0, 255).astype(np.uint8).tobytes()
    return Image.frombytes("HSV", image.size, content).convert("RGB")


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return open_image(file.getvalue())
