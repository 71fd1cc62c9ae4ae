"""Isotonic regression: the curve that never falls and is nearest to what was seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RisingCurve:
    """A curve that never falls: straight between its corners, level outside them."""

    places: Floats
    """Scores of the corners, rising."""
    values: Floats
    """Values at the corners, never falling."""

    def __call__(self, scores: ArrayLike) -> Floats:
        """Return the value at each score, whatever the shape."""
        return np.interp(np.asarray(scores, np.float64), self.places, self.values)


def fit_rising(
    scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> RisingCurve:
    """Fit the never-falling curve with the least squared error, by pooling adjacent violators.

    Ayer et al., 1955; Zadrozny & Elkan, 2002, for probabilities. Equal scores are pooled first, so
    they get one value.

    Args:
        scores: (N,).
        targets: (N,), such as 1 where the answer was right and 0 where it was wrong.
        weights: (N,) positive; all alike if not given.

    Raises:
        InputError: if there are none, the lengths differ, or one is not a finite number.
    """
    x, y = _line(scores, "scores"), _line(targets, "targets")
    w = np.ones(len(x)) if weights is None else _line(weights, "weights")
    if not len(x) == len(y) == len(w) or not len(x):
        raise InputError(f"expected as many targets as scores, got {len(y)} and {len(x)}")
    if not bool((w > 0).all()):
        raise InputError("weights must be positive")
    places, index = np.unique(x, return_inverse=True)
    weight = np.bincount(index, w).astype(np.float64)
    mean = np.bincount(index, w * y) / weight
    values = _pool(mean, weight)
    is_corner = np.ones(len(places), dtype=bool)
    is_corner[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return RisingCurve(places[is_corner], values[is_corner])


def _pool(mean: Floats, weight: Floats) -> Floats:
    """Average neighbours for as long as the left one is above the right one."""
    means: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for value, heft in zip(mean.tolist(), weight.tolist(), strict=True):
        size = 1
        while means and means[-1] >= value:
            total = weights[-1] + heft
            value = (means.pop() * weights[-1] + value * heft) / total
            heft, size = total, size + sizes.pop()
            weights.pop()
        means.append(value)
        weights.append(heft)
        sizes.append(size)
    return np.repeat(means, sizes)


def _line(values: ArrayLike, name: str) -> Floats:
    line = np.asarray(values, np.float64)
    if line.ndim != 1 or not bool(np.isfinite(line).all()):
        raise InputError(f"{name} must be a list of finite numbers, got shape {line.shape}")
    return line
