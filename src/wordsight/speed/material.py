"""The pictures and sentences that are measured with: the user's own, or drawn ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from wordsight.engine.parity import drawn_pictures
from wordsight.errors import InputError

MOST_PICTURES = 256
MOST_SENTENCES = 512
NUM_DRAWN_PICTURES = 32
DRAWN_SIDE = 480
JPEG_QUALITY = 90
WORDS_MEAN, WORDS_STD = 10.5, 2.4
"""Words of a caption of COCO (Chen et al., 2015, arXiv:1504.00325)."""
FEWEST_WORDS = 5
PARTS = (
    ("a", "the", "one", "some", "two", "an old", "a small", "a large"),
    ("red", "wooden", "shiny", "broken", "white", "narrow", "empty", "striped", "heavy", "wet"),
    ("valve", "dog", "bicycle", "bottle", "conveyor", "child", "train", "plate", "cable", "bridge"),
    ("stands", "lies", "is seen", "is mounted", "moves", "waits", "leans", "hangs"),
    ("near", "on", "under", "behind", "beside", "in front of", "next to", "above"),
)
"""What drawn captions are made of: the words of one place after those of the place before."""

Item = TypeVar("Item")


def draw_picture_files(folder: Path, count: int = NUM_DRAWN_PICTURES) -> list[Path]:
    """Write drawn pictures as JPEG files of the size of a small photograph."""
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path, picture in zip(paths, drawn_pictures(count, DRAWN_SIDE), strict=True):
        picture.save(path, quality=JPEG_QUALITY)
    return paths


def draw_sentences(count: int, *, seed: int = 0) -> list[str]:
    """Draw captions of as many words as people write; no two are the same."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        wanted = max(FEWEST_WORDS, round(rng.normal(WORDS_MEAN, WORDS_STD)))
        words: list[str] = []
        place = 0
        while len(words) < wanted:
            part = PARTS[place % len(PARTS)]
            words += part[rng.integers(len(part))].split()
            place += 1
        found[" ".join(words[:wanted])] = None
    return list(found)


def read_sentences(file: Path) -> list[str]:
    """Return the different lines of a text file.

    Raises:
        InputError: if it cannot be read or holds none.
    """
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    found = list(dict.fromkeys(line for line in lines if line))
    if not found:
        raise InputError(f"{file}: holds no sentence", hint="one per line")
    return found


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return `most` items spread evenly over all, or all if there are fewer."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]
