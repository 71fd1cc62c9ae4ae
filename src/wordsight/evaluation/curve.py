"""How accuracy grows with the number of examples, with what the draw of the examples does to it.

Shape letters: S draws of the examples (seeds), N test samples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.evaluation.student import student_quantile
from wordsight.metrics import CONFIDENCE, Estimate

Curve = Mapping[int, NDArray[np.float64]]
"""For each number of examples per class, how right each draw was on each test sample, (S, N)."""


@dataclass(frozen=True, slots=True)
class ShotPoint:
    """Accuracy with so many examples of each class."""

    shots: int
    estimate: Estimate
    """Mean over draws; the interval covers other draws and other test samples."""
    scores: tuple[float, ...]
    """Accuracy with each draw: the band that a chart shows runs from the least to the greatest."""


def few_shot_curve(correct: Mapping[int, ArrayLike]) -> tuple[ShotPoint, ...]:
    """Return the points of a few-shot curve, fewest examples first.

    The variance of a point is that of its draws (Student's t: there are few of them) plus that of
    the test samples, each averaged over the draws. What draws and samples have in common counts
    twice, so the interval is rather too wide than too narrow. With one draw only the test samples
    count, and nothing is known of others.

    Args:
        correct: for each number of examples per class (S, N) marks of what was predicted right,
            one row a draw; rows of one number of examples share their N test samples.

    Raises:
        InputError: if there is no point, a table is empty or holds anything but marks.
    """
    return tuple(_point(shots, values) for shots, values in checked_curve(correct).items())


def checked_curve(correct: Mapping[int, ArrayLike]) -> dict[int, NDArray[np.float64]]:
    """Return the tables of a curve as numbers, fewest examples first.

    Raises:
        InputError: as `few_shot_curve`.
    """
    if not correct:
        raise InputError("the curve has no points", hint="give {1: correct, 2: correct, ...}")
    found: dict[int, NDArray[np.float64]] = {}
    for shots in sorted(correct):
        values = np.asarray(correct[shots])
        if shots < 1 or values.ndim != 2 or not values.size:
            raise InputError(
                f"{shots} examples: expected a positive number and a table (draws, samples), got "
                f"shape {values.shape}"
            )
        if not bool(np.isin(values, (0, 1)).all()):
            raise InputError(f"{shots} examples: expected true and false (or 1 and 0) only")
        found[int(shots)] = values.astype(np.float64)
    return found


def band(points: Sequence[ShotPoint]) -> list[tuple[int, float, float]]:
    """Return (shots, least, greatest) of the draws of each point."""
    return [(point.shots, min(point.scores), max(point.scores)) for point in points]


def _point(shots: int, values: NDArray[np.float64]) -> ShotPoint:
    draws, samples = values.shape
    scores = values.mean(axis=1)
    tail = 0.5 + CONFIDENCE / 2
    by_draw = 0.0
    if draws > 1:
        by_draw = student_quantile(tail, draws - 1) * float(scores.std(ddof=1)) / math.sqrt(draws)
    value = float(scores.mean())
    low, high = _sample_limits(values.mean(axis=0), NormalDist().inv_cdf(tail))
    estimate = Estimate(
        value,
        max(0.0, value - math.hypot(value - low, by_draw)),
        min(1.0, value + math.hypot(high - value, by_draw)),
        samples,
    )
    return ShotPoint(shots, estimate, tuple(float(score) for score in scores))


def _sample_limits(shares: NDArray[np.float64], z: float) -> tuple[float, float]:
    """Wilson's interval of a mean of shares: what it takes for a count, by their own variance.

    Shares between 0 and 1 vary less than yes and no; the effective number of samples is larger by
    as much.
    """
    n, mean = len(shares), float(shares.mean())
    spread = mean * (1 - mean)
    if spread <= 0:
        effective = float(n)
    else:
        effective = n * max(1.0, spread / max(float(shares.var()), spread / n))
    centre = (mean + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z * math.sqrt(spread / effective + z * z / (4 * effective**2)) / (1 + z * z / effective)
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))
