"""Sets of classes that hold the right one as often as promised (split-conformal prediction).

Shape letters: N pictures, C classes.

Vovk et al., 2005; Sadinle et al., 2019, 1609.00451 ("least"); Romano et al., 2020, 2006.02544
("adaptive", without its random part, so its sets are a little larger than they must be).
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.config import nearest
from wordsight.errors import InputError
from wordsight.metrics import Estimate, clopper_pearson, wilson

Method = Literal["least", "adaptive"]
"""The smallest sets on average; or sets that grow on hard pictures and shrink on easy ones."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConformalSets:
    """A promise, and the limit that keeps it."""

    method: Method
    limit: float
    """Classes whose strangeness is at most this are in the set."""
    coverage: Estimate
    """Chance that a new set holds the right class, with its 95 % interval."""

    def sets(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return which classes are in the set of each picture, (N, C).

        A set may be empty ("least" only): then no class is probable enough, which says that the
        picture is unlike those of the validation part.
        """
        return strangeness(_rows(probabilities), self.method) <= self.limit


def strangeness(probabilities: Floats, method: Method) -> Floats:
    """Return how strange each class would be as the answer, (N, C).

    "least" is one minus its probability. "adaptive" is the sum of the probabilities of all classes
    at least as probable.
    """
    if method == "least":
        return 1.0 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1)
    found = np.empty_like(sums)
    np.put_along_axis(found, order, sums, axis=1)
    return found


def fit_conformal(
    probabilities: ArrayLike,
    truth_index: ArrayLike,
    *,
    miss_rate: float = 0.1,
    method: Method = "least",
) -> ConformalSets:
    """Learn from N labelled pictures the limit with which sets miss at most `miss_rate`.

    The limit is the k-th smallest strangeness of the right class, k = ceil((N + 1)(1 - miss_rate)).
    The set of a new picture that comes from where these came from then holds the right class with
    a chance of at least 1 - miss_rate, whatever the model. That is the mean over validation parts;
    for the one at hand the chance is at least Beta(k, N + 1 - k): its middle 95 % is the interval.

    Args:
        probabilities: (N, C) of pictures that nothing else was chosen by.
        truth_index: column of the right class, (N,).
        miss_rate: share of sets that may lack the right class.
        method: how strangeness is measured.

    Raises:
        InputError: if shapes do not fit, the rate is not between 0 and 1, or there are too few.
    """
    rows, truth = _rows(probabilities), np.asarray(truth_index)
    if method not in get_args(Method):
        raise InputError(f"unknown method {method!r}", hint=nearest(method, get_args(Method)))
    if truth.shape != (len(rows),) or truth.dtype.kind not in "iu":
        raise InputError(f"expected a column for each of {len(rows)} pictures, got {truth.shape}")
    if len(truth) and (truth.min() < 0 or truth.max() >= rows.shape[1]):
        raise InputError(f"columns of true classes must lie within 0..{rows.shape[1] - 1}")
    if not 0 < miss_rate < 1:
        raise InputError(f"miss_rate must lie between 0 and 1, got {miss_rate}")
    n = len(rows)
    k = math.ceil((n + 1) * (1 - miss_rate) - 1e-9)
    if k > n:
        raise InputError(
            f"{n} pictures cannot promise a miss rate of {miss_rate:g}",
            hint=f"give {math.ceil(1 / miss_rate - 1e-9) - 1} or more, or allow a higher rate",
        )
    own = np.sort(strangeness(rows, method)[np.arange(n), truth])
    low, high = clopper_pearson(k, n).low, clopper_pearson(k - 1, n).high
    return ConformalSets(method, float(own[k - 1]), Estimate(k / (n + 1), low, high, n))


def measured_coverage(sets: NDArray[np.bool_], truth_index: ArrayLike) -> Estimate:
    """Return the share of sets (N, C) that hold the right class, with a Wilson interval."""
    truth = np.asarray(truth_index)
    return wilson(int(sets[np.arange(len(sets)), truth].sum()), len(sets))


def _rows(probabilities: ArrayLike) -> Floats:
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or not bool(np.isfinite(rows).all()):
        raise InputError(f"expected finite probabilities (N, C), got shape {rows.shape}")
    return rows
