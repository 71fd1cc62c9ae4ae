"""Probabilities that can be taken at their word: of the pictures called 80 % sure, 80 % are right.

Shape letters: N pictures, C classes.

Each `fit_` function learns from the scores of labelled pictures that are used for nothing else, and
returns an object that turns scores into probabilities. Scores are cosines or any multiple of them;
what was fitted on some scale is used on the same scale. `metrics.expected_calibration_error` says
what was gained, on pictures of a third part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.rising_curve import RisingCurve, fit_rising

Floats = NDArray[np.float64]

_SHARPEST = 1e4
"""Largest scale times spread of the scores: where all are right, the log-loss has no minimum."""


class Calibration(Protocol):
    """What turns scores (N, C) into probabilities (N, C)."""

    def probabilities(self, scores: NDArray[np.floating]) -> Floats:
        """Return rows that add up to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Temperature:
    """Softmax of scores times one number; the order of the classes never changes."""

    scale: float
    """One over the temperature."""

    def probabilities(self, scores: NDArray[np.floating]) -> Floats:
        """Return the softmax of scale * scores, (N, C)."""
        return np.asarray(softmax(self.scale * np.asarray(scores, np.float64)), np.float64)


def fit_temperature(scores: ArrayLike, truth_index: ArrayLike) -> Temperature:
    """Find the scale of the scores at which the mean log-loss is least (Guo et al., 2017).

    The log-loss is convex in the scale (arXiv 1706.04599, section 4.2, with 1/T for T), so the zero
    of its slope is found by bisection in float64. Where scores say nothing about the truth the
    scale is 0: all classes are equally likely. Where they are never wrong it is very large.

    Args:
        scores: (N, C).
        truth_index: column of the true class, (N,).

    Raises:
        InputError: if the shapes do not fit, or a score is not a finite number.
    """
    rows, truth = _rows_and_truth(scores, truth_index)
    centred = rows - rows.max(axis=1, keepdims=True)
    of_truth = centred[np.arange(len(rows)), truth]
    spread = float(-centred.min())
    if spread == 0:
        return Temperature(0.0)

    def slope(scale: float) -> float:
        return float(((softmax(scale * centred) * centred).sum(axis=1) - of_truth).mean())

    low, high = 0.0, _SHARPEST / spread
    if slope(low) >= 0:
        return Temperature(low)
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return Temperature((low + high) / 2)


@dataclass(frozen=True, slots=True)
class TopIsotonic:
    """The best class gets the share that was right at its score; the others share the rest."""

    scale: float
    curve: RisingCurve

    def probabilities(self, scores: NDArray[np.floating]) -> Floats:
        """Return (N, C); the best class stays the best, if need be level with the second."""
        scaled = self.scale * np.asarray(scores, np.float64)
        picture, best = np.arange(len(scaled)), scaled.argmax(axis=1)
        top = softmax(scaled)[picture, best]
        scaled[picture, best] = -np.inf
        others = softmax(scaled)
        second = others.max(axis=1)
        sure = np.maximum(self.curve(top), second / (1 + second))
        found = np.asarray((1 - sure)[:, None] * others, np.float64)
        found[picture, best] = sure
        return found


@dataclass(frozen=True, slots=True)
class EachIsotonic:
    """Every class has a curve of its own; rows are then made to add up to 1.

    A class that is named too often is corrected for, so the best class may change.
    """

    scale: float
    curves: tuple[RisingCurve, ...]

    def probabilities(self, scores: NDArray[np.floating]) -> Floats:
        """Return (N, C); the plain softmax where every curve says 0."""
        rows = softmax(self.scale * np.asarray(scores, np.float64))
        found = np.stack([curve(rows[:, k]) for k, curve in enumerate(self.curves)], axis=1)
        total = found.sum(axis=1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1), rows)


def fit_top_isotonic(scores: ArrayLike, truth_index: ArrayLike) -> TopIsotonic:
    """Learn how often the best class is right, as a never-falling curve of its probability.

    Needs fewer pictures than a curve per class: take it where some hundreds are labelled. The
    probability it starts from is that of the fitted temperature.

    Args:
        scores: (N, C).
        truth_index: column of the true class, (N,).

    Raises:
        InputError: as `fit_temperature`.
    """
    rows, truth = _rows_and_truth(scores, truth_index)
    scale = fit_temperature(rows, truth).scale
    right = rows.argmax(axis=1) == truth
    return TopIsotonic(scale, fit_rising(softmax(scale * rows).max(axis=1), right))


def fit_each_isotonic(scores: ArrayLike, truth_index: ArrayLike) -> EachIsotonic:
    """Learn a curve per class, one against the rest (Zadrozny & Elkan, 2002).

    Args:
        scores: (N, C).
        truth_index: column of the true class, (N,).

    Raises:
        InputError: as `fit_temperature`, and if a class has no picture.
    """
    rows, truth = _rows_and_truth(scores, truth_index)
    classes = rows.shape[1]
    missing = sorted(set(range(classes)) - set(truth.tolist()))
    if missing:
        raise InputError(
            f"class {missing[0]} of {classes} has no picture to calibrate with",
            hint="calibrate the best class only (fit_top_isotonic), or label some",
        )
    scale = fit_temperature(rows, truth).scale
    shares = softmax(scale * rows)
    return EachIsotonic(scale, tuple(fit_rising(shares[:, k], truth == k) for k in range(classes)))


FITS: MappingProxyType[str, Callable[[ArrayLike, ArrayLike], Calibration]] = MappingProxyType(
    {
        "temperature": fit_temperature,
        "top_isotonic": fit_top_isotonic,
        "each_isotonic": fit_each_isotonic,
    }
)
"""The ways to calibrate, by name."""


def _rows_and_truth(scores: ArrayLike, truth_index: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    rows, truth = np.asarray(scores, np.float64), np.asarray(truth_index)
    if rows.ndim != 2 or rows.shape[1] < 2 or not len(rows):
        raise InputError(f"expected scores of two classes or more, (N, C), got {rows.shape}")
    if truth.shape != (len(rows),) or truth.dtype.kind not in "iu":
        raise InputError(
            f"expected the column of the true class of each of {len(rows)} pictures, "
            f"got {truth.dtype} of shape {truth.shape}"
        )
    if not bool(np.isfinite(rows).all()):
        raise InputError("scores must be finite numbers")
    if truth.min() < 0 or truth.max() >= rows.shape[1]:
        raise InputError(f"columns of true classes must lie within 0..{rows.shape[1] - 1}")
    return rows, truth.astype(np.int64)
