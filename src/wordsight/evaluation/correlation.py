"""Whether what is easy for one way of measuring is easy for another, over data sets or classes.

The paper's case: zero-shot against linear-probe scores of its data sets (section 3.1.5, figure 8).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r with its 95 % interval, and the chance of one as large without a relation."""

    r: float
    low: float
    high: float
    p_value: float
    n: int

    def __str__(self) -> str:
        limits = f"{self.low:.2f} to {self.high:.2f}"
        return f"r = {self.r:.2f} ({limits}, n={self.n}, p={self.p_value:.2g})"


def correlate(
    first: ArrayLike, second: ArrayLike, *, seed: int = 0, permutations: int = 10_000
) -> Correlation:
    """Correlate two scores of the same sets: Pearson's r, Fisher's interval, permutation p-value.

    The interval (Fisher, 1921: atanh r is normal with deviation 1 / sqrt(n - 3)) supposes normal
    scores; the two-sided p-value supposes nothing but that the sets are exchangeable, and counts
    the data itself among its permutations (Phipson & Smyth, 2010), so it is never 0.

    Args:
        first: (D,) such as zero-shot scores.
        second: (D,) such as linear-probe scores, in the same order.
        seed: of the permutations.
        permutations: how many are drawn.

    Raises:
        InputError: for fewer than 4 sets, lengths that differ, numbers that are not finite, or
            scores that are all the same.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 4:
        raise InputError(f"expected two scores of 4 sets or more, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a score is not a finite number")
    a, b = _standard(a, "first"), _standard(b, "second")
    r = float(np.clip(a @ b, -1.0, 1.0))
    random = np.random.default_rng(seed)
    others = np.array([random.permutation(b) @ a for _ in range(permutations)])
    as_large = int(np.count_nonzero(np.abs(others) >= abs(r) - 1e-12))
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) / math.sqrt(len(a) - 3)
    low, high = (r, r)
    if abs(r) < 1:
        low, high = math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
    return Correlation(r, low, high, (1 + as_large) / (1 + permutations), len(a))


def _standard(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    centred = values - values.mean()
    length = float(np.linalg.norm(centred))
    if length <= 1e-12 * max(1.0, float(np.abs(values).max())):
        raise InputError(f"the {name} scores are all {values[0]:g}: nothing varies with anything")
    return centred / length
