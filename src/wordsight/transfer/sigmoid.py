"""One score to one probability: the sigmoid of Platt.

Shape letters: N pictures.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError

Floats = NDArray[np.float64]

_STEPS = 100
_SMALLEST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def __call__(self, scores: ArrayLike) -> Floats:
        """Return the probability at each score, whatever the shape."""
        return _sigmoid(self.slope * np.asarray(scores, np.float64) + self.offset)


def fit_sigmoid(scores: ArrayLike, is_positive: ArrayLike) -> Sigmoid:
    """Fit slope and offset by least log-loss (Platt, 1999), by Newton's method (Lin et al., 2007).

    The targets are Platt's, (P + 1) / (P + 2) for P positives and 1 / (Q + 2) for Q negatives, so
    that scores which separate the two still give finite numbers.

    Raises:
        InputError: if the lengths differ, a score is not finite, or one side has no picture.
    """
    x, marks = np.asarray(scores, np.float64), np.asarray(is_positive, bool)
    if x.ndim != 1 or x.shape != marks.shape or not bool(np.isfinite(x).all()):
        raise InputError(
            f"expected as many marks as finite scores, got {marks.shape} and {x.shape}"
        )
    positives = int(marks.sum())
    negatives = len(marks) - positives
    if not positives or not negatives:
        raise InputError(f"expected both sides, got {positives} positive, {negatives} negative")
    target = np.where(marks, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = float(x.mean()), float(x.std()) or 1.0
    design = np.stack([(x - centre) / spread, np.ones(len(x))], axis=1)
    slope, offset = _newton(design, target, math.log((positives + 1) / (negatives + 1)))
    return Sigmoid(slope / spread, offset - slope * centre / spread)


def _newton(design: Floats, target: Floats, offset: float) -> tuple[float, float]:
    """Minimise the convex log-loss, halving a step for as long as it does not help."""
    weights = np.array([0.0, offset])
    loss = _loss(design @ weights, target)
    for _ in range(_STEPS):
        chance = _sigmoid(design @ weights)
        gradient = design.T @ (chance - target)
        curvature = (design.T * (chance * (1 - chance))) @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        share = 1.0
        while (now := _loss(design @ (weights - share * step), target)) > loss and share > 1e-6:
            share /= 2
        if now > loss:
            break
        weights, loss = weights - share * step, now
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    return float(weights[0]), float(weights[1])


def _loss(logits: Floats, target: Floats) -> float:
    return float((np.logaddexp(0.0, logits) - target * logits).sum())


def _sigmoid(logits: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -logits))
