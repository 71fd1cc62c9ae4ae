"""Is one model better than another on the same samples, and what if many are compared.

Shape letters: N samples, T tests.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics import binomial
from wordsight.metrics.checks import Labels, finite, mark_pair, numbers
from wordsight.metrics.resampling import rows_of_groups

_ROUNDING = 1e-12
_CHUNK_SIGNS = 1 << 22


def mcnemar(
    correct_a: ArrayLike, correct_b: ArrayLike, *, method: Literal["exact", "mid-p"] = "exact"
) -> float:
    """Return the two-sided p-value that two models are right equally often; (N,) booleans.

    Only samples on which exactly one of them is right count (McNemar, 1947). "exact" never
    rejects more often than it says, and so rejects less; "mid-p" counts what was seen by half
    (Fagerland et al., 2013): stronger, and in simulation still about 5 % at most, but without
    that guarantee.

    Raises:
        InputError: if there are no samples, or the lengths differ.
    """
    a, b = mark_pair(correct_a, correct_b, ("correct_a", "correct_b"))
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    n, fewer = only_a + only_b, min(only_a, only_b)
    two_sided = min(1.0, 2 * binomial.at_most(fewer, n, 0.5))
    if method == "exact":
        return two_sided
    seen = binomial.probability(fewer, n, 0.5)
    return two_sided - (seen / 2 if only_a == only_b else seen)


def permutation(
    values_a: ArrayLike,
    values_b: ArrayLike,
    *,
    seed: int,
    resamples: int = 10_000,
    groups: Labels | None = None,
) -> float:
    """Return the two-sided p-value that two models have the same mean score on the same samples.

    If they do, whose score is whose is a toss of a coin (Fisher, 1935). All tosses are tried
    where there are no more than `resamples`; else so many are drawn, and what was seen counts
    as one of them (Phipson & Smyth, 2010), so that p is never 0.

    Args:
        values_a: (N,) one score a sample, e.g. right or wrong, loss, error in km.
        values_b: (N,) the other model's, in the same order.
        seed: of the draws.
        resamples: how many are drawn.
        groups: (N,) ids of samples that belong together (one part, one picture): exchanged
            together.

    Raises:
        InputError: if there are no samples, the lengths differ, or a value is not finite.
    """
    a, b = numbers(values_a, "values_a"), numbers(values_b, "values_b")
    if len(a) != len(b):
        raise InputError(f"expected two lists of the same length, got {len(a)} and {len(b)}")
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, got {resamples}")
    gain: NDArray[np.float64] = a - b
    if groups is not None:
        sums = [float(gain[rows].sum()) for rows in rows_of_groups(groups, len(gain))]
        gain = np.array(sums, dtype=np.float64)
    gain = gain[gain != 0]
    seen = abs(float(gain.sum())) - _ROUNDING * float(np.abs(gain).sum())
    # Opposite signs give opposite sums: half of the tosses tell all.
    if len(gain) < 2 or 2 ** (len(gain) - 1) <= resamples:
        codes = np.arange(2 ** max(0, len(gain) - 1), dtype=np.int64)
        tosses = np.right_shift(codes[:, None], np.arange(len(gain), dtype=np.int64))
        signs = 1.0 - 2.0 * (tosses & 1)
        return float(np.mean(np.abs(signs @ gain) >= seen))
    random, extreme = np.random.default_rng(seed), 1
    step = max(1, _CHUNK_SIGNS // len(gain))
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), len(gain))
        signs = random.integers(0, 2, size=size, dtype=np.int8) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ gain) >= seen))
    return extreme / (resamples + 1)


def binomial_test(
    successes: int, n: int, share: float, *, side: Literal["greater", "less"]
) -> float:
    """Return the exact one-sided p-value of a count, if each sample succeeds with `share`.

    The paper's test of data overlap (section 5): successes on the overlapping part against the
    accuracy on the clean part.

    Args:
        successes: how many succeeded.
        n: of how many.
        share: the chance of each under the null hypothesis, 0..1.
        side: "greater" asks for so many or more, "less" for so many or fewer.

    Raises:
        InputError: for a count that is not within 0..n, or a share that is not within 0..1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    if not 0 <= share <= 1:
        raise InputError(f"share must lie within 0..1, got {share}")
    tail = binomial.at_least if side == "greater" else binomial.at_most
    return tail(successes, n, share)


def bonferroni(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values that hold for all T tests together: each times T, at most 1.

    Raises:
        InputError: if there are none, or one is not within 0..1.
    """
    values = _p_values(p_values)
    return np.minimum(1.0, values * len(values))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values that hold for all T tests together, stronger than Bonferroni's.

    Holm (1979): the smallest times T, the next times T - 1 and so on, never falling. The chance
    of any false rejection is at most the level, whatever the tests have to do with each other.

    Raises:
        InputError: if there are none, or one is not within 0..1.
    """
    values = _p_values(p_values)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted


def _p_values(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    values = finite(np.asarray(p_values, dtype=np.float64), "p_values")
    if values.ndim != 1 or not len(values):
        raise InputError(f"expected a list of p-values, got shape {values.shape}")
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"p-values must lie within 0..1, got {values.min()} to {values.max()}")
    return values
