"""Ordinary photographs that scikit-image ships inside its wheel; none is ever downloaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from wordsight.engine import Model
from wordsight.errors import MissingError
from wordsight.transfer.class_vectors import class_vectors, softmax

PHOTOS = {
    "astronaut.png": "astronaut",
    "chelsea.png": "cat",
    "coffee.png": "cup of coffee",
    "rocket.jpg": "rocket",
    "motorcycle_left.png": "motorcycle",
    "camera.png": "photographer",
    "brick.png": "brick wall",
    "grass.png": "grass",
    "coins.png": "coins",
    "page.png": "printed page",
    "horse.png": "horse",
    "hubble_deep_field.jpg": "night sky with stars",
}
"""Each photograph and the label that is right."""

OTHERS = (
    "dog", "bird", "fish", "flower", "tree", "car", "bicycle", "airplane", "ship",
    "train", "chair", "pizza", "clock", "telephone",
)  # fmt: skip
LABELS = (*PHOTOS.values(), *OTHERS)
"""What the model may choose from."""
NUM_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Named:
    """A photograph, what it shows, and the best names with their probabilities."""

    path: Path
    truth: str
    best: tuple[tuple[str, float], ...]

    @property
    def is_right(self) -> bool:
        """Whether the best name is the right one."""
        return self.best[0][0] == self.truth


def photographs() -> list[Path]:
    """Find the photographs by path: `skimage.data` would fetch what is not there.

    Raises:
        MissingError: if scikit-image is not installed, or ships other pictures.
    """
    found = find_spec("skimage")
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    paths = [folder / name for name in PHOTOS] if folder else []
    if not paths or not all(path.is_file() for path in paths):
        raise MissingError(
            "the sample photographs of scikit-image are not installed",
            hint='pip install "wordsight[demo]"',
        )
    return paths


def name_photographs(model: Model, paths: Sequence[Path]) -> list[Named]:
    """Let a model choose among all labels for every photograph."""
    classes = class_vectors(model, LABELS)
    shares = softmax(model.logit_scale * classes.cosines(model.encode_image(paths)))
    named: list[Named] = []
    for path, row in zip(paths, shares, strict=True):
        best = [int(place) for place in np.argsort(-row, kind="stable")[:NUM_SHOWN]]
        top = tuple((LABELS[place], float(row[place])) for place in best)
        named.append(Named(path, PHOTOS[path.name], top))
    return named


def num_changed(before: Sequence[Named], after: Sequence[Named]) -> int:
    """Count photographs whose best name is another one now."""
    return sum(a.best[0][0] != b.best[0][0] for a, b in zip(before, after, strict=True))
