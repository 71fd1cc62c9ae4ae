"""How large a picture may be, and of which format, before any of it is decoded."""

from dataclasses import dataclass

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that can be read; PPM stands for PBM, PGM, PPM and PFM too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """Limits that hold before memory is spent on a picture."""

    max_bytes: int = 64 * 2**20
    """Largest file, in bytes."""
    max_pixels: int = 64 * 2**20
    """Largest width times height; a decoded pixel takes four bytes."""
    max_side: int = 65_535
    """Largest width or height, in pixels."""
    formats: tuple[str, ...] = FORMATS
    """Formats that are read; all others are refused by name."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f"format {name!r} is not one of {', '.join(FORMATS)}")


DEFAULT_LIMITS = ImageLimits()
