"""How well scores put positives before negatives: ROC-AUC, PR-AUC, and VOC 2007's 11 points.

Shape letters: N samples, C classes.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import finite, marks, scores_and_marks
from wordsight.metrics.estimate import CONFIDENCE, Estimate, mean_of, wilson_of_share

_RECALL_POINTS = np.arange(11) / 10


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall at each score that a threshold can have, the highest first."""

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def roc_auc(scores: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the chance that a positive scores above a negative; ties count one half.

    The interval is method 5 of Newcombe (2006). DeLong's agrees with it on large samples, but
    shrinks to a point when a handful of samples is told apart without a mistake.

    Raises:
        InputError: for NaN or infinity, lengths that differ, marks other than true and false, or
            one class only.
    """
    values, truth = scores_and_marks(scores, is_positive)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise InputError(f"AUC needs both classes, got {positives} positive, {negatives} negative")
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mid_rank = (np.cumsum(count) - (count - 1) / 2)[place]
    above = float(mid_rank[truth].sum()) - positives * (positives + 1) / 2
    area = above / (positives * negatives)
    low, high = (_auc_limit(area, positives, negatives, upper=side) for side in (False, True))
    return Estimate(area, low, high, len(truth))


def precision_recall(scores: ArrayLike, is_positive: ArrayLike) -> PrecisionRecall:
    """Return precision and recall for a threshold at each distinct score: equal scores go together.

    Raises:
        InputError: for NaN or infinity, lengths that differ, marks other than true and false, or
            no positives.
    """
    values, truth = scores_and_marks(scores, is_positive)
    if not truth.any():
        raise InputError(f"precision at each recall needs positives, got 0 of {len(truth)}")
    thresholds, place, count = np.unique(-values, return_inverse=True, return_counts=True)
    found = np.cumsum(np.bincount(place, weights=truth))
    return PrecisionRecall(-thresholds, found / np.cumsum(count), found / truth.sum())


def average_precision(scores: ArrayLike, is_positive: ArrayLike) -> Estimate:
    """Return the area under the curve of precision over recall, in steps (PR-AUC).

    It depends on the share of positives: chance is that share, not one half. The interval is
    that of a share of as many samples as there are positives (Boyd et al., 2013), by Wilson. In
    simulation it holds the truth 95 to 97 times in 100 where positives are rare, and up to 99
    times where they are as many as negatives or the area is above 0.9.

    Raises:
        InputError: as `precision_recall`.
    """
    curve = precision_recall(scores, is_positive)
    area = float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))
    return _of_positives(area, is_positive)


def eleven_point_ap(
    scores: ArrayLike, is_positive: ArrayLike, *, is_known: ArrayLike | None = None
) -> Estimate:
    """Return VOC 2007's average precision: the best precision at recall 0, 0.1, ... 1, averaged.

    Everingham et al. (2010, section 4.2.1). "The best at a recall" is the best at it or beyond.
    The interval is that of `average_precision`. Taking the best makes the value itself too high
    when positives are few: by 0.03 with 20 of them, by 0.01 with 100.

    Args:
        scores: (N,), higher is more likely positive.
        is_positive: (N,) marks.
        is_known: (N,) marks; samples marked false are left out, as VOC's "difficult" are.

    Raises:
        InputError: as `precision_recall`.
    """
    values, truth = scores_and_marks(scores, is_positive)
    if is_known is not None:
        known = marks(is_known, "is_known")
        if known.shape != truth.shape:
            raise InputError(f"expected {len(truth)} marks of is_known, got shape {known.shape}")
        values, truth = values[known], truth[known]
    curve = precision_recall(values, truth)
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    # Recall is a whole count over a whole count: 3/10 must reach 0.3 in spite of rounding.
    place = np.searchsorted(curve.recall + 1e-12, _RECALL_POINTS)
    return _of_positives(float(best[place].mean()), truth)


def eleven_point_map(
    scores: ArrayLike, is_positive: ArrayLike, *, is_known: ArrayLike | None = None
) -> Estimate:
    """Return the mean over classes of `eleven_point_ap`, the paper's metric for VOC 2007.

    Note that scores must be comparable between pictures: the paper's numbers need a softmax over
    the classes first. The interval takes classes as independent; with 40 or more positives a
    class it holds the truth, with 10 the value is too high for it (`eleven_point_ap`).

    Args:
        scores: (N, C), higher is more likely there.
        is_positive: (N, C) marks; a picture may have several classes.
        is_known: (N, C) marks; entries marked false are left out of their class.

    Raises:
        InputError: as `eleven_point_ap`, and if shapes do not fit or a class has no positives.
    """
    table, truth = np.asarray(scores, dtype=np.float64), np.asarray(is_positive)
    known = np.ones(truth.shape, dtype=bool) if is_known is None else np.asarray(is_known)
    if table.ndim != 2 or not table.size or not table.shape == truth.shape == known.shape:
        raise InputError(
            f"expected scores, is_positive and is_known of one shape (samples, classes), "
            f"got {table.shape}, {truth.shape} and {known.shape}"
        )
    table, truth, known = (
        finite(table, "scores"),
        marks(truth, "is_positive"),
        marks(known, "is_known"),
    )
    empty = np.flatnonzero(~(truth & known).any(axis=0))
    if len(empty):
        raise InputError(f"class {empty[0]} has no positives; its precision is not defined")
    each = [
        eleven_point_ap(table[:, column], truth[:, column], is_known=known[:, column])
        for column in range(table.shape[1])
    ]
    return mean_of(each, len(table))


def _of_positives(value: float, is_positive: ArrayLike) -> Estimate:
    truth = np.asarray(is_positive)
    share = wilson_of_share(min(1.0, value), int(truth.sum()))
    return Estimate(share.value, share.low, share.high, len(truth))


def _auc_limit(area: float, positives: int, negatives: int, *, upper: bool) -> float:
    """Solve |area - x| = z * sd(x) for x on one side of `area` by bisection."""
    z, spare = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), (positives + negatives) / 2 - 1
    inside, outside = area, 1.0 if upper else 0.0
    for _ in range(60):
        middle = (inside + outside) / 2
        spread = 1 + spare * (1 - middle) / (2 - middle) + spare * middle / (1 + middle)
        variance = middle * (1 - middle) * spread / (positives * negatives)
        if abs(area - middle) <= z * math.sqrt(variance):
            inside = middle
        else:
            outside = middle
    return inside
