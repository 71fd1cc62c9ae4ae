"""How a picture becomes the square that a model sees: the settings, and where its edges go."""

import math
from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """How a picture becomes the input of a model; stored beside its weights."""

    size: int = 224
    """Side of the square the model sees, in pixels."""
    resize: Literal["shortest", "squash", "longest"] = "shortest"
    """Fit the shortest side and crop, ignore the aspect ratio, or fit the longest and pad."""
    interpolation: Interpolation = "bicubic"
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
        if self.interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"interpolation must be bicubic or bilinear, got {self.interpolation}")
        if len(self.mean) != 3 or not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"mean must be 3 finite numbers, got {self.mean}")
        if len(self.std) != 3 or not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"std must be 3 finite numbers above 0, got {self.std}")
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill must be 0 to 255, got {self.fill}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Where the square of a recipe lies on a resized picture; `longest` leaves a margin instead."""

    width: int
    """Width that the whole picture is resized to."""
    height: int
    """Height that the whole picture is resized to."""
    left: int
    """First column of the square on it; below 0, what the square has to the left of the picture."""
    top: int
    """First row of the square on it; below 0, what the square has above the picture."""


def frame(size: tuple[int, int], recipe: Preprocessing) -> Frame:
    """Return what torchvision and open_clip resize a picture of (width, height) to, and crop."""
    (width, height), side = size, recipe.size
    if recipe.resize == "squash":
        return Frame(width=side, height=side, left=0, top=0)
    if recipe.resize == "longest":
        ratio = max(width / side, height / side)
        wide, high = max(1, round(width / ratio)), max(1, round(height / ratio))
        return Frame(width=wide, height=high, left=-((side - wide) // 2), top=-((side - high) // 2))
    new_long = int(side * max(size) / min(size))
    offset = round((new_long - side) / 2)
    if width <= height:
        return Frame(width=side, height=new_long, left=0, top=offset)
    return Frame(width=new_long, height=side, left=offset, top=0)
