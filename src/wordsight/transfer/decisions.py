"""Deciding by the classifier that lies in a bundle, and what a decision is.

Shape letters: N pictures, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model, Progress
from wordsight.errors import ImageError, InputError
from wordsight.images import ImageSource
from wordsight.transfer.class_tree import Hierarchy


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of one picture; `error` is set if it could not be read."""

    label: str = ""
    """A class, a group of classes, or empty where none fits."""
    score: float = 0.0
    """Probability of the best class."""
    scores: tuple[tuple[str, float], ...] = ()
    """Name and probability of every class."""
    error: ImageError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; without a label, it is None."""
        if self.error is not None:
            return {"error": str(self.error)}
        return {"label": self.label or None, "score": self.score, "scores": dict(self.scores)}


def decide(
    model: Model,
    images: Sequence[ImageSource],
    *,
    none_below: float | None = None,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide for each picture by the classifier of a bundle; one that cannot be read says why.

    Such bundles come from `wordsight edge` and `wordsight adapt`. A picture whose best class is not
    probable enough gets the smallest group that is, or no label; the same where sentences about
    none of the classes fit best.

    Args:
        model: with a classifier of its own.
        images: files, bytes, pictures or arrays.
        none_below: least probability of a label, between 0 and 1; the classifier's own if not
            given.
        batch_size: pictures per call of the tower.
        progress: called with the number of pictures done and of all.

    Raises:
        InputError: if the model has no classifier, or `none_below` is no share.
        BundleError: if the model gives what cannot be unit vectors.
    """
    check_share(none_below)
    classifier = model.classifier
    if classifier is None:
        raise InputError(
            f"{model.name} has no classes of its own",
            hint="write them into a bundle: wordsight edge MODEL --classes FILE --out EDGE",
        )
    words = classifier.words
    tree = Hierarchy(words.groups, words.names)
    encoded = model.encode_image_files(images, batch_size=batch_size, progress=progress)
    rows = classifier.probabilities(encoded.embeddings)
    found = dict(
        zip(encoded.indices, choose(rows, tree, none_below or words.threshold), strict=True)
    )
    found |= {place: Decision(error=error) for place, error in encoded.errors}
    return [found[place] for place in range(len(images))]


def check_share(none_below: float | None) -> None:
    """Refuse a least probability that is none.

    Raises:
        InputError: if it does not lie between 0 and 1.
    """
    if none_below is not None and not 0 < none_below < 1:
        raise InputError(
            f"--none-below must lie between 0 and 1, got {none_below}",
            hint="0.5 gives a label only to pictures that are more likely of it than not",
        )


def choose(
    probabilities: NDArray[np.floating], tree: Hierarchy, none_below: float | None
) -> list[Decision]:
    """Take the best class of each picture; where it is not probable enough, a group or nothing.

    Args:
        probabilities: of the classes, (N, C), or with "none of these" after them, (N, C + 1).
        tree: over the classes.
        none_below: least probability of a label.
    """
    return [_chosen(row, tree, none_below) for row in probabilities]


def _chosen(row: NDArray[np.floating], tree: Hierarchy, none_below: float | None) -> Decision:
    of_classes, of_none = row[: len(tree.classes)], float(row[len(tree.classes) :].sum())
    best = int(of_classes.argmax())
    label, score = tree.classes[best], float(of_classes[best])
    chance = score
    if none_below is not None and score < none_below:
        label = tree.deepest(of_classes[None], none_below)[0] or ""
        own = [tree.contains(label, name) for name in tree.classes]
        chance = float(of_classes[own].sum())
    scores = tuple((name, float(one)) for name, one in zip(tree.classes, of_classes, strict=True))
    return Decision(label if chance >= of_none else "", score, scores)
