"""From probabilities to the numbers of a result: each data set by the metric of its kind.

Shape letters: N pictures, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.data.labelled import LabelledPictures, MetricKind
from wordsight.errors import DataError
from wordsight.metrics import (
    Estimate,
    accuracy,
    eleven_point_map,
    mean_per_class,
    mean_top1_top5,
    roc_auc,
    top_k_accuracy,
    wilson,
)

TOP = 5


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a method said of pictures."""

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """(N, C)"""
    margins: NDArray[np.float64] | None = None
    """(N,) how far above the line between good and defective; None where no class is a defect."""
    algorithm: str = ""
    """What the method settled on."""

    @property
    def guesses(self) -> tuple[str, ...]:
        """The most probable class of every picture."""
        best: list[int] = self.probabilities.argmax(axis=1).tolist()
        return tuple(self.classes[i] for i in best)


@dataclass(frozen=True, slots=True)
class Scores:
    """The numbers of a result."""

    estimate: Estimate
    """By the metric of the data set."""
    others: dict[str, Estimate]
    per_class: dict[str, Estimate]
    chance: float | None


def score(judged: Judged, pictures: LabelledPictures) -> Scores:
    """Measure what was said of pictures by the metric of their data set.

    Classes that no picture has stay in the choice, and are left out of means over classes.

    Raises:
        DataError: if the metric cannot be measured on these pictures.
    """
    if not len(pictures):
        raise DataError(f"{pictures.name}: no picture is left to measure on")
    if pictures.is_multi_label or pictures.metric == "map_11_point":
        value = _map(judged, pictures)
        return Scores(value, {}, {}, None)
    found = {"accuracy": accuracy(judged.guesses, pictures.truth)}
    if len(set(pictures.truth)) > 1:
        found["mean_per_class"] = mean_per_class(judged.guesses, pictures.truth)
    if len(judged.classes) > TOP:
        truth = _columns(judged.classes, pictures.truth)
        found[f"top_{TOP}"] = top_k_accuracy(judged.probabilities, truth, TOP)
        found["mean_top1_top5"] = mean_top1_top5(judged.probabilities, truth)
    marks, values = defects(judged, pictures)
    if marks.any() and not marks.all():
        found["roc_auc"] = roc_auc(values, marks)
    if pictures.metric not in found:
        raise DataError(
            f"{pictures.name}: {pictures.metric} cannot be measured on {len(pictures)} pictures of "
            f"{len(set(pictures.truth))} of {len(judged.classes)} classes",
            hint=_needs(pictures.metric),
        )
    estimate = found.pop(pictures.metric)
    is_top = pictures.metric == "mean_top1_top5"
    if not is_top:
        found.pop("mean_top1_top5", None)
    return Scores(
        estimate, found, _per_class(judged, pictures), _chance(pictures.metric, len(judged.classes))
    )


def defects(
    judged: Judged, pictures: LabelledPictures
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which pictures show a positive class, and the probability of any, both (N,).

    Of two classes the second is the positive one where none is named.
    """
    positive = pictures.positive
    if not positive and len(judged.classes) == 2:
        positive = judged.classes[1:]
    columns = np.isin(judged.classes, positive)
    marks = np.array([bool(set(names) & set(positive)) for names in pictures.labels], dtype=bool)
    return marks, judged.probabilities[:, columns].sum(axis=1)


def _map(judged: Judged, pictures: LabelledPictures) -> Estimate:
    marks = np.array([[name in names for name in judged.classes] for names in pictures.labels])
    has_pictures = marks.any(axis=0)
    if not has_pictures.any():
        raise DataError(f"{pictures.name}: no picture to measure on has a class")
    return eleven_point_map(judged.probabilities[:, has_pictures], marks[:, has_pictures])


def _per_class(judged: Judged, pictures: LabelledPictures) -> dict[str, Estimate]:
    guesses, truth = np.asarray(judged.guesses), np.asarray(pictures.truth)
    return {
        name: wilson(int((guesses[truth == name] == name).sum()), int((truth == name).sum()))
        for name in judged.classes
        if (truth == name).any()
    }


def _columns(classes: Sequence[str], truth: Sequence[str]) -> NDArray[np.int64]:
    place = {name: column for column, name in enumerate(classes)}
    return np.array([place[name] for name in truth], dtype=np.int64)


def _chance(metric: MetricKind, num_classes: int) -> float:
    if metric == "roc_auc":
        return 0.5
    if metric == "mean_top1_top5":
        return (1 + TOP) / (2 * num_classes)
    return 1 / num_classes


def _needs(metric: MetricKind) -> str:
    return {
        "mean_per_class": "pictures of two classes or more are needed",
        "mean_top1_top5": "six classes or more are needed",
        "roc_auc": "name the positive class in [set], and give pictures with it and without it",
    }.get(metric, "")
