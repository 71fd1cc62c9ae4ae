"""How picture files are read, where there is a choice."""

from dataclasses import dataclass

from wordsight.images.limits import DEFAULT_LIMITS, ImageLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Settings of reading that are not part of a model: they may differ from machine to machine."""

    limits: ImageLimits = DEFAULT_LIMITS
    """What a picture may weigh."""
    exact: bool = False
    """Prepare pictures bit for bit as torchvision does on Pillow pictures. Otherwise a few values
    (of photographs one in 30,000) differ by one grey level of 255, and none by more."""
    scaled_jpeg: bool = False
    """Decode large JPEG photographs at a half of their size or less, never below what the model
    takes. Faster, but no longer the same numbers: one grey level in the mean, 50 at sharp edges."""


DEFAULT_READING = Reading()
