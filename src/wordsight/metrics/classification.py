"""How often the answer is right: accuracy, per class, among the best k, and two-class shares.

Shape letters: N samples, C classes.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import Labels, class_scores, label_pair, mark_pair
from wordsight.metrics.estimate import Estimate, mean_of, wilson, wilson_of_share


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each true class was taken for each class."""

    classes: tuple[Any, ...]
    counts: NDArray[np.int64]
    """(C, C): a row for each true class, a column for each predicted one."""


def accuracy(predicted: Labels, truth: Labels) -> Estimate:
    """Return the share of predictions equal to the truth, with a Wilson interval.

    Raises:
        InputError: if there are no labels, the lengths differ, a label is missing (NaN or None),
            or numbers are compared with words.
    """
    guesses, answers = label_pair(predicted, truth)
    return wilson(int(np.count_nonzero(guesses == answers)), len(answers))


def balanced_accuracy(predicted: Labels, truth: Labels) -> Estimate:
    """Return the mean over the classes of `truth` of the share predicted right.

    Each class has a Wilson interval; they are combined by the MOVER rule (Zou & Donner, 2008),
    which, unlike the bootstrap, claims no certainty from a few samples that all came out right.
    With a few samples a class and most of them right it is too wide: it then holds the truth
    more often than 95 times in 100, never less.

    Raises:
        InputError: as `accuracy`, and if `truth` holds one class only.
    """
    guesses, answers = label_pair(predicted, truth)
    classes, place, count = np.unique(answers, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise InputError(
            f"balanced accuracy needs two classes or more, the truth has only {classes[0]!s}"
        )
    right = np.bincount(place[guesses == answers], minlength=len(classes))
    shares = [wilson(int(hits), int(total)) for hits, total in zip(right, count, strict=True)]
    return mean_of(shares, len(answers))


def mean_per_class(predicted: Labels, truth: Labels) -> Estimate:
    """Return the paper's "mean per class" accuracy, which is `balanced_accuracy`.

    Raises:
        InputError: as `balanced_accuracy`.
    """
    return balanced_accuracy(predicted, truth)


def hits_in_top(scores: ArrayLike, truth_index: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return, for each sample, the chance that its true class is among its k best; (N,).

    Classes of equal score stand in random order, so a tie at the k-th place is a fraction:
    a model that gives every class the same score gets k / C, not 100 %.

    Args:
        scores: (N, C), higher is better.
        truth_index: (N,) column of the true class.
        k: how many of the best are looked at, 1..C-1.

    Raises:
        InputError: for NaN or infinity, shapes that do not fit, or a k outside 1..C-1.
    """
    table, index = class_scores(scores, truth_index)
    if not 1 <= k < table.shape[1]:
        raise InputError(
            f"k must be within 1..{table.shape[1] - 1}, got {k}",
            hint=f"the best {k} of {table.shape[1]} classes would always hold the answer"
            if k > 0
            else "",
        )
    own = np.take_along_axis(table, index[:, None], axis=1)
    better, tied = (table > own).sum(axis=1), (table == own).sum(axis=1)
    return np.clip(k - better, 0, tied) / tied


def top_k_accuracy(scores: ArrayLike, truth_index: ArrayLike, k: int) -> Estimate:
    """Return the share of samples whose true class is among their k best.

    Arguments as `hits_in_top`. The interval is Wilson's; of hits that ties made fractions it is
    wider than need be.

    Raises:
        InputError: as `hits_in_top`.
    """
    hits = hits_in_top(scores, truth_index, k)
    return wilson_of_share(float(hits.mean()), len(hits))


def mean_top1_top5(scores: ArrayLike, truth_index: ArrayLike) -> Estimate:
    """Return the mean of top-1 and top-5 accuracy, as the paper does for Kinetics-700.

    The two come from the same samples: their Wilson intervals are combined with the correlation
    that the samples show (MOVER, Zou & Donner, 2008).

    Raises:
        InputError: as `hits_in_top`; there must be six classes or more.
    """
    first, five = (hits_in_top(scores, truth_index, k) for k in (1, 5))
    n = len(first)
    one, top = (wilson_of_share(float(hits.mean()), n) for hits in (first, five))
    varies = bool(first.std() > 0 and five.std() > 0)
    # Where one of them never varies nothing is known of the correlation: assume the widest.
    together = float(np.corrcoef(first, five)[0, 1]) if varies else 1.0
    value = (one.value + top.value) / 2
    below = _half_of_sum(one.value - one.low, top.value - top.low, together)
    above = _half_of_sum(one.high - one.value, top.high - top.value, together)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above), n)


def confusion(
    predicted: Labels, truth: Labels, *, classes: tuple[Any, ...] | None = None
) -> Confusion:
    """Count how often each true class was taken for each class.

    Args:
        predicted: (N,) labels.
        truth: (N,) labels.
        classes: the order of rows and columns; without it every label found, sorted.

    Raises:
        InputError: as `accuracy`, and if a label is not among `classes` or a class stands twice.
    """
    guesses, answers = label_pair(predicted, truth)
    found, place = np.unique(np.concatenate([guesses, answers]), return_inverse=True)
    order = tuple(found.tolist()) if classes is None else classes
    position = {name: index for index, name in enumerate(order)}
    if len(position) != len(order):
        raise InputError("a class stands twice in classes")
    for name in found.tolist():
        if name not in position:
            raise InputError(f"label {name!r} is none of the {len(order)} classes")
    column = np.array([position[name] for name in found.tolist()])[place]
    counts = np.zeros((len(order), len(order)), dtype=np.int64)
    np.add.at(counts, (column[len(guesses) :], column[: len(guesses)]), 1)
    return Confusion(order, counts)


def precision(predicted_positive: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the share of those called positive that are, with a Wilson interval; (N,) marks.

    It depends on how many positives there are: see `inspection.at_defect_rate`.

    Raises:
        InputError: if nothing was called positive, or the marks are no marks of one length.
    """
    called, real = _two_marks(predicted_positive, is_positive)
    return _share_of(called & real, called, "precision", "sample was called positive")


def recall(predicted_positive: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the share of positives called positive, with a Wilson interval; (N,) marks.

    Raises:
        InputError: if there are no positives, or the marks are no marks of one length.
    """
    called, real = _two_marks(predicted_positive, is_positive)
    return _share_of(called & real, real, "recall", "sample is positive")


def specificity(predicted_positive: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the share of negatives called negative, with a Wilson interval; (N,) marks.

    Raises:
        InputError: if there are no negatives, or the marks are no marks of one length.
    """
    called, real = _two_marks(predicted_positive, is_positive)
    return _share_of(~called & ~real, ~real, "specificity", "sample is negative")


def _two_marks(
    predicted_positive: ArrayLike, is_positive: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return mark_pair(predicted_positive, is_positive, ("predicted_positive", "is_positive"))


def _share_of(right: NDArray[Any], asked: NDArray[Any], name: str, need: str) -> Estimate:
    if not asked.any():
        raise InputError(f"{name} is not defined: no {need}, of {len(asked)}")
    return wilson(int(right.sum()), int(asked.sum()))


def _half_of_sum(first: float, second: float, correlation: float) -> float:
    return math.sqrt(first**2 + second**2 + 2 * correlation * first * second) / 2
