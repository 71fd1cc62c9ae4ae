"""Intervals of any statistic by drawing the same samples again.

Shape letters: N samples.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import Labels, fraction, labels, numbers
from wordsight.metrics.estimate import CONFIDENCE, Estimate


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
    groups: Labels | None = None,
) -> Estimate:
    """Estimate any statistic of (N,) values with a percentile bootstrap; one seed, one result.

    The percentiles are taken as far out as Student's t is wider than the normal (Hesterberg, 2015,
    arXiv 1411.5279, section 5.3): the plain ones are too narrow when values or groups are few.
    In simulation it then holds a mean about 95 times in 100 from 10 values (or groups) on; of
    strongly skewed values (exponential ones) 91 times with 20, 95 with 150. It collapses when all
    values are equal: for a counted share take `wilson`.

    Args:
        values: (N,) numbers.
        statistic: what is measured, of any number of values.
        seed: of the draws.
        resamples: how many times the values are drawn again.
        confidence: of the interval.
        groups: (N,) ids of what was drawn together (the picture of a sentence, the part of a
            picture). Whole groups are then drawn, as Davison & Hinkley (1997, section 3.8) do.

    Raises:
        InputError: if there are no values, one of them is not finite, or there is one group only.
    """
    sample = numbers(values, "values")
    return bootstrap_rows(
        lambda rows: statistic(sample[rows]),
        len(sample),
        seed=seed,
        resamples=resamples,
        confidence=confidence,
        groups=groups,
    )


def bootstrap_difference(
    after: ArrayLike,
    before: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
    groups: Labels | None = None,
) -> Estimate:
    """Estimate statistic(after) - statistic(before), both measured on the same samples.

    Every draw takes the same rows of both, so what makes a sample hard for both cancels out.
    Arguments as `bootstrap`.

    Raises:
        InputError: as `bootstrap`, and if the lengths differ.
    """
    new, old = numbers(after, "after"), numbers(before, "before")
    if len(new) != len(old):
        raise InputError(f"expected as many values after as before, got {len(new)} and {len(old)}")
    return bootstrap_rows(
        lambda rows: statistic(new[rows]) - statistic(old[rows]),
        len(new),
        seed=seed,
        resamples=resamples,
        confidence=confidence,
        groups=groups,
    )


def bootstrap_rows(
    statistic: Callable[[NDArray[np.int64]], float],
    num_rows: int,
    *,
    seed: int,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
    groups: Labels | None = None,
) -> Estimate:
    """Estimate a statistic that is told which rows to look at, for tables and pairs of tables.

    Arguments as `bootstrap`; the statistic gets row numbers, some of them twice.

    Raises:
        InputError: as `bootstrap`, and if the statistic of a draw is not a finite number.
    """
    if num_rows < 1 or resamples < 1:
        raise InputError(f"expected rows and resamples, got {num_rows} and {resamples}")
    random, members = np.random.default_rng(seed), None
    if groups is not None:
        members = rows_of_groups(groups, num_rows)
    draw = _drawer(num_rows, members)
    value = float(statistic(np.arange(num_rows)))
    repeats = np.array([statistic(draw(random)) for _ in range(resamples)], dtype=np.float64)
    if not np.isfinite(value) or not np.isfinite(repeats).all():
        raise InputError(
            "the statistic of some draws is not a finite number",
            hint="it must be defined for every choice of samples, also where one class is absent",
        )
    tail = _tail(fraction(confidence, "confidence"), num_rows if members is None else len(members))
    low, high = np.quantile(repeats, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value), num_rows)


def _tail(confidence: float, n: int) -> float:
    """Return the share of draws beyond each end, smaller than (1 - confidence) / 2 when n is small.

    Student's quantile by the series of Cornish & Fisher; below 5 its error no longer matters,
    because the ends are then the outermost draws.
    """
    z, df = NormalDist().inv_cdf(0.5 + confidence / 2), max(1, n - 1)
    t = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
    return NormalDist().cdf(-t * math.sqrt(n / df))


def _drawer(
    num_rows: int, members: list[NDArray[np.int64]] | None
) -> Callable[[np.random.Generator], NDArray[np.int64]]:
    if members is None:
        return lambda random: random.integers(num_rows, size=num_rows)
    if len(members) < 2:
        raise InputError("all samples are of one group; nothing says how much groups differ")
    rows, sizes = np.concatenate(members), np.array([len(own) for own in members])
    starts = np.cumsum(sizes) - sizes

    def draw(random: np.random.Generator) -> NDArray[np.int64]:
        drawn = random.integers(len(sizes), size=len(sizes))
        size = sizes[drawn]
        # Row i of the draw is row i - (what was drawn before its group) of its group.
        shift = np.repeat(starts[drawn] - (np.cumsum(size) - size), size)
        return rows[np.arange(len(shift)) + shift]

    return draw


def rows_of_groups(groups: Labels, num_rows: int) -> list[NDArray[np.int64]]:
    """Return the row numbers of each group.

    Raises:
        InputError: if there are not as many ids as rows, or one is missing.
    """
    ids = labels(groups, "groups")
    if len(ids) != num_rows:
        raise InputError(f"{len(ids)} group ids for {num_rows} samples")
    _, place, count = np.unique(ids, return_inverse=True, return_counts=True)
    return np.split(np.argsort(place, kind="stable"), np.cumsum(count)[:-1])
