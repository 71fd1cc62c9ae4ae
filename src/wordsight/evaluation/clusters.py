"""How many independent samples grouped ones are worth: ten pictures of one part are not ten parts.

Shape letters: N samples.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from wordsight.errors import InputError
from wordsight.metrics import Estimate, clopper_pearson


def design_effect(values: ArrayLike, groups: Sequence[str]) -> float:
    """Return how many grouped samples are worth one independent sample (Kish, 1965), 1 or more.

    It is 1 + (m - 1) * ICC, where m is the mean size of the group a sample lies in, and ICC the
    share of the variance that lies between groups, by the analysis of variance (Donner & Koval,
    1980). Judged by continuous scores rather than by right and wrong, it is there as well when
    everything was right, and errs to the cautious side.

    Args:
        values: (N,) scores of samples of one kind, such as all defects.
        groups: (N,) what each belongs to.

    Raises:
        InputError: if there are no samples, or not one group for each.
    """
    scores = np.asarray(values, dtype=np.float64)
    if not len(groups) or scores.shape != (len(groups),):
        raise InputError(f"expected a group for each score, got {len(groups)} and {scores.shape}")
    _, place, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    n, num_groups = len(scores), len(sizes)
    typical = float((sizes**2).sum()) / n
    if num_groups == n:
        return 1.0
    if num_groups == 1:
        return float(n)
    means = np.bincount(place, weights=scores) / sizes
    between = float((sizes * (means - scores.mean()) ** 2).sum()) / (num_groups - 1)
    within = float(((scores - means[place]) ** 2).sum()) / (n - num_groups)
    size = (n - typical) / (num_groups - 1)
    spread = between + (size - 1) * within
    share = (between - within) / spread if spread > 0 else 0.0
    return 1 + (typical - 1) * min(1.0, max(0.0, share))


def counted(successes: int, n: int, effect: float = 1.0) -> Estimate:
    """Return the share with the exact interval of so many samples as it is worth.

    With `effect` 1 it is Clopper and Pearson's interval (1934). Otherwise it is that of the same
    share of n / effect samples (Korn & Graubard, 1998), rounded down to a whole number; between
    two whole counts its ends are interpolated. The estimate states the n that was counted.

    Raises:
        InputError: if the count is impossible, or the effect is below 1.
    """
    if effect < 1:
        raise InputError(f"a design effect is 1 or more, got {effect}")
    exact = clopper_pearson(successes, n)
    worth = max(1, math.floor(n / effect + 1e-9))
    if worth == n:
        return exact
    scaled = successes * worth / n
    below = clopper_pearson(math.floor(scaled), worth)
    above = clopper_pearson(math.ceil(scaled), worth)
    part = scaled - math.floor(scaled)
    low, high = (
        (1 - part) * one + part * other
        for one, other in ((below.low, above.low), (below.high, above.high))
    )
    return Estimate(exact.value, min(low, exact.low), max(high, exact.high), n)
