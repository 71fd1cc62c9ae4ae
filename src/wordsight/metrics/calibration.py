"""Does a model that says 80 % hit 80 times in 100: calibration and proper scores.

Shape letters: N samples, C classes, B bins.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import class_scores, marks, numbers
from wordsight.metrics.estimate import CONFIDENCE, Estimate, wilson
from wordsight.metrics.resampling import bootstrap

_SURE = 3.0
"""Standard errors from which on the sign of a gap is taken for sure."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Samples of about the same confidence, and how many of them were right."""

    low: float
    high: float
    mean_confidence: float
    accuracy: Estimate


def reliability(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[Bin, ...]:
    """Return the bins of a reliability plot that hold samples, with Wilson intervals.

    The bins are equally wide: (0, 1/B], (1/B, 2/B] ...; a confidence of 0 is in the first.

    Args:
        confidences: (N,) within 0..1.
        correct: (N,) marks: was the sample right (or positive, for a two-class probability).
        bins: how many.

    Raises:
        InputError: for NaN, confidences outside 0..1, lengths that differ, or no bins.
    """
    values, right, place = _binned(confidences, correct, bins)
    result: list[Bin] = []
    for index in np.unique(place).tolist():
        inside = place == index
        share = wilson(int(right[inside].sum()), int(inside.sum()))
        edges = (index / bins, (index + 1) / bins)
        result.append(Bin(*edges, float(values[inside].mean()), share))
    return tuple(result)


def expected_calibration_error(
    confidences: ArrayLike, correct: ArrayLike, bins: int = 15
) -> Estimate:
    """Return the mean gap between confidence and accuracy over equally wide bins (ECE).

    Guo et al. (2017, arXiv 1706.04599, equation 5). The value is the usual one, which chance
    alone makes too high: a perfect model measured on 300 pictures gets about 6 %. The interval
    knows that (a bootstrap does not, and then never holds the truth): its low end takes off what
    chance adds where a gap may be chance, and is 0 while nothing is proven. It is that of the
    gap of these bins, and in simulation holds it 95 to 98 times in 100 where the gap is nil or
    plain, up to always in between and with few samples.

    Arguments as `reliability`.

    Raises:
        InputError: as `reliability`.
    """
    values, right, place = _binned(confidences, correct, bins)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    hits, gaps = (
        np.bincount(place, weights=weight, minlength=bins)[held]
        for weight in (right, right - values)
    )
    count = count[held]
    share, gap = count / len(values), np.abs(gaps) / count
    value = float(share @ gap)
    # One more right and one more wrong: a bin of three, all right, proves no certainty.
    rate = (hits + 1) / (count + 2)
    error = np.sqrt(rate * (1 - rate) / count)
    low, high = _gap_limits(
        share, gap, error, max(0.0, float(share @ gap**2) - value**2) / len(values)
    )
    return Estimate(value, max(0.0, low), min(1.0, high), len(values))


def brier(
    probabilities: ArrayLike, truth_index: ArrayLike, *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Return Brier's score (1950), halved so that it lies within 0..1 whatever the classes.

    Half the squared distance between the probabilities and the truth: for two classes, the mean
    of (p - y)^2. 0 is perfect. The interval is a bootstrap.

    Args:
        probabilities: (N, C), each row summing to 1.
        truth_index: (N,) column of the true class.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        InputError: for NaN, shapes that do not fit, or rows that are no probabilities.
    """
    table, index = _probabilities(probabilities, truth_index)
    hit = np.take_along_axis(table, index[:, None], axis=1)[:, 0]
    losses = ((table**2).sum(axis=1) - 2 * hit + 1) / 2
    return bootstrap(losses, _mean, seed=seed, resamples=resamples)


def negative_log_likelihood(
    probabilities: ArrayLike, truth_index: ArrayLike, *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Return the mean of -log(probability of the true class), in nats: no share, it may exceed 1.

    Arguments as `brier`. The interval is a bootstrap.

    Raises:
        InputError: as `brier`, and if a true class has probability 0: the loss is infinite.
    """
    table, index = _probabilities(probabilities, truth_index)
    hit = np.take_along_axis(table, index[:, None], axis=1)[:, 0]
    if not hit.all():
        raise InputError(
            f"sample {int(np.argmin(hit))}: the true class has probability 0",
            hint="calibrate the probabilities, or mix in a little of the uniform ones",
        )
    return bootstrap(-np.log(hit), _mean, seed=seed, resamples=resamples)


def _binned(
    confidences: ArrayLike, correct: ArrayLike, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    values, right = numbers(confidences, "confidences"), marks(correct, "correct")
    if right.shape != values.shape:
        raise InputError(
            f"expected as many marks as confidences, got {right.shape} and {values.shape}"
        )
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"confidences must lie within 0..1, got {values.min()} to {values.max()}")
    if bins < 1:
        raise InputError(f"expected one bin or more, got {bins}")
    return values, right, np.maximum(np.ceil(values * bins).astype(np.int64) - 1, 0)


def _probabilities(
    probabilities: ArrayLike, truth_index: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    table, index = class_scores(probabilities, truth_index)
    table = table.astype(np.float64)
    wrong = np.flatnonzero((table.min(axis=1) < 0) | (np.abs(table.sum(axis=1) - 1) > 1e-3))
    if len(wrong):
        raise InputError(
            f"row {wrong[0]} sums to {table[wrong[0]].sum():.6g} with a least value of "
            f"{table[wrong[0]].min():.6g}, expected probabilities"
        )
    return table, index


def _mean(sample: NDArray[np.float64]) -> float:
    return float(sample.mean())


def _gap_limits(
    share: NDArray[np.float64],
    gap: NDArray[np.float64],
    error: NDArray[np.float64],
    spread: float,
) -> tuple[float, float]:
    """Return the limits of sum(share * |true gap|) from the gaps seen and their errors, (B,) each.

    |seen| is never below the seen gap with the true sign, so the upper limit needs no care. From
    above, |seen| - |true| is the error itself where the sign is sure, and at most |error|, a
    folded normal with mean sqrt(2 / pi), where it is not. `spread` is the variance that comes
    from how samples fall into bins.
    """
    z, value, part = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), float(share @ gap), share * error
    high = value + z * math.sqrt(float(part @ part) + spread)
    unsure = part[gap <= _SURE * error]
    sure = part[gap > _SURE * error]
    chance = math.sqrt(2 / math.pi) * float(unsure.sum())
    variance = float(sure @ sure) + (1 - 2 / math.pi) * float(unsure @ unsure) + spread
    return value - chance - z * math.sqrt(variance), high
