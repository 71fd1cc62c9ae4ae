"""A measured number with the range it could have had, and the intervals of a counted share.

Every interval here treats samples as independent. Five sentences of one picture, or ten pictures
of one part, are not: take `bootstrap` with `groups`.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from wordsight.errors import InputError
from wordsight.metrics import binomial
from wordsight.metrics.checks import fraction

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or score between 0 and 1, its 95 % interval, and the samples it rests on.

    `str(estimate)` is `52.3 % (50.5-54.1, n=3000)`; `format(estimate, ".2")` shows two decimals.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self)

    def __format__(self, spec: str) -> str:
        digits = int(spec.removeprefix(".") or 1)
        value, low, high = (f"{100 * x:.{digits}f}" for x in (self.value, self.low, self.high))
        to = " to " if self.low < 0 else "-"
        return f"{value} % ({low}{to}{high}, n={self.n})"


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share from a count, with the score interval of Wilson (1927).

    The interval stays inside 0..1 and does not collapse when all or none succeed. It holds the
    truth 95 times in 100 on average over the shares, not at each: with n = 30 the chance lies
    between 92 and 98 % for shares within 0.05..0.95, and falls to 84 % near 0 and near 1.
    Where a promise hangs on it, take `clopper_pearson`.

    Raises:
        InputError: if n is not positive, or successes is not within 0..n.
    """
    _check_count(successes, n)
    return wilson_of_share(successes / n, n, fraction(confidence, "confidence"))


def wilson_of_share(share: float, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Return Wilson's interval of a share that need not be a whole count of n."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if share <= 0 else max(0.0, centre - half)
    high = 1.0 if share >= 1 else min(1.0, centre + half)
    return Estimate(share, low, high, n)


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share from a count, with an interval that never holds less than it claims.

    The exact interval of Clopper & Pearson (1934): each end is the share at which what was seen,
    or anything more extreme, has the chance (1 - confidence) / 2. It is wider than Wilson's.

    Raises:
        InputError: if n is not positive, or successes is not within 0..n.
    """
    _check_count(successes, n)
    tail = (1 - fraction(confidence, "confidence")) / 2
    low = binomial.share_with_upper_tail(successes, n, tail) if successes else 0.0
    high = 1 - binomial.share_with_upper_tail(n - successes, n, tail) if successes < n else 1.0
    return Estimate(successes / n, low, high, n)


def difference(after: Estimate, before: Estimate) -> Estimate:
    """Return after - before with an interval made from the two intervals (Newcombe, 1998).

    Both are taken as independent. Measured on the same samples they usually rise and fall
    together, and the interval is then wider than it need be: take `bootstrap_difference`.
    """
    value = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(
        value, max(-1.0, value - below), min(1.0, value + above), min(after.n, before.n)
    )


def mean_of(estimates: list[Estimate], n: int) -> Estimate:
    """Return the mean of independent estimates by the MOVER rule (Zou & Donner, 2008)."""
    value = math.fsum(each.value for each in estimates) / len(estimates)
    below = math.hypot(*(each.value - each.low for each in estimates)) / len(estimates)
    above = math.hypot(*(each.high - each.value for each in estimates)) / len(estimates)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above), n)


def _check_count(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
