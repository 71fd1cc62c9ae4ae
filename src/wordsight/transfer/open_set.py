"""Knowing when no class fits: a score of how well any class does, and a threshold for it.

Shape letters: N pictures, C classes, S sentences about "none of these".

Every score is high where a class fits. They take scaled cosines, `ZeroShotClassifier.scores`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics import Estimate, bootstrap_rows, clopper_pearson, roc_auc
from wordsight.transfer.class_vectors import softmax

Floats = NDArray[np.float64]
Rows = NDArray[np.floating]


def max_softmax(scores: Rows) -> Floats:
    """Return the probability of the best class (Hendrycks & Gimpel, 2017), (N,)."""
    return np.asarray(softmax(np.asarray(scores, np.float64)).max(axis=1))


def max_cosine(scores: Rows) -> Floats:
    """Return the scaled cosine of the best class, (N,)."""
    return np.asarray(scores, np.float64).max(axis=1)


def energy(scores: Rows) -> Floats:
    """Return the logarithm of the sum of the exponentials (Liu et al., 2020, 2010.03759), (N,)."""
    rows = np.asarray(scores, np.float64)
    best = rows.max(axis=1)
    return np.asarray(best + np.log(np.exp(rows - best[:, None]).sum(axis=1)))


def margin(scores: Rows) -> Floats:
    """Return by how much the best class is ahead of the second, (N,)."""
    two = np.partition(np.asarray(scores, np.float64), -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def above_none(scores: Rows, none_scores: Rows) -> Floats:
    """Return by how much the best class is ahead of the best sentence about none of them, (N,).

    Args:
        scores: (N, C).
        none_scores: (N, S), scaled alike.
    """
    return max_cosine(scores) - max_cosine(none_scores)


SCORES: MappingProxyType[str, Callable[[Rows], Floats]] = MappingProxyType(
    {"max_softmax": max_softmax, "max_cosine": max_cosine, "energy": energy, "margin": margin}
)
"""Scores that need nothing but the classes, by name."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where "none of these" begins, and how many pictures of known classes fall below it."""

    value: float
    false_rejection: Estimate
    """Chance that a new picture of a known class is rejected, with its 95 % interval."""

    def rejects(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return which scores lie below the threshold."""
        return np.asarray(scores, np.float64) < self.value


def threshold_for(known_scores: ArrayLike, false_rejection: float) -> Threshold:
    """Find the highest threshold that rejects at most a stated share of pictures of known classes.

    It is the k-th smallest of N validation scores, k = floor(share * (N + 1)). A new picture that
    comes from where the validation pictures came from falls below it with a chance of at most
    k / (N + 1), whatever the distribution (an order statistic, the guarantee of conformal
    prediction). That is the mean over validation parts; for the one at hand the chance is
    Beta(k, N + 1 - k), whose middle 95 % is the interval. Ties only make it smaller.

    Raises:
        InputError: if the share is not between 0 and 1, or there are too few scores for it.
    """
    values = np.sort(np.asarray(known_scores, np.float64))
    if values.ndim != 1 or not bool(np.isfinite(values).all()):
        raise InputError(f"expected a list of finite scores, got shape {values.shape}")
    if not 0 < false_rejection < 1:
        raise InputError(f"false_rejection must lie between 0 and 1, got {false_rejection}")
    n = len(values)
    k = math.floor(false_rejection * (n + 1) + 1e-9)
    if k < 1:
        needed = math.ceil(1 / false_rejection - 1e-9) - 1
        raise InputError(
            f"{n} pictures cannot promise a false-rejection rate of {false_rejection:g}",
            hint=f"give {needed} or more of known classes, or allow a higher rate",
        )
    # The quantiles of Beta(k, n + 1 - k), said with the limits of two counts.
    low, high = clopper_pearson(k, n).low, clopper_pearson(k - 1, n).high
    return Threshold(float(values[k - 1]), Estimate(k / (n + 1), low, high, n))


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a score tells pictures of known classes from others."""

    auroc: Estimate
    """Chance that a known one scores above another; 0.5 is guessing."""
    fpr_at_95_tpr: Estimate
    """Share of the others let through where 95 % of the known ones are; 0 is best."""


def separation(known_scores: ArrayLike, other_scores: ArrayLike, *, seed: int = 0) -> Separation:
    """Measure a score on pictures of known classes and on others, with 95 % intervals.

    The interval of the second number is a bootstrap: its threshold depends on the pictures too.

    Raises:
        InputError: if there are none of either, or a score is not a finite number.
    """
    known, other = (np.asarray(scores, np.float64) for scores in (known_scores, other_scores))
    is_known = np.arange(len(known) + len(other)) < len(known)
    everything = np.concatenate([known, other])
    area = roc_auc(everything, is_known)

    def let_through(rows: NDArray[np.int64]) -> float:
        drawn, mark = everything[rows], is_known[rows]
        if mark.all() or not mark.any():
            return 0.0
        return false_positives(drawn[mark], drawn[~mark])

    return Separation(area, bootstrap_rows(let_through, len(everything), seed=seed))


def false_positives(known: Floats, other: Floats, true_positive_rate: float = 0.95) -> float:
    """Return the share of others at or above the threshold that lets so many known ones through."""
    kept = math.ceil(true_positive_rate * len(known) - 1e-9)
    return float((other >= np.sort(known)[len(known) - kept]).mean())
