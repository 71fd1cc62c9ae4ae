"""How much of an evaluation set was learnt from, and whether that raised the score (section 5).

Pictures of the evaluation set that have a near copy in the training set are `overlap`, the others
`clean`. If copies help, a model is right on `overlap` more often than on `clean`.

Shape letters: N evaluation pictures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from wordsight.errors import InputError
from wordsight.metrics import (
    Estimate,
    binomial_test,
    bonferroni,
    clopper_pearson,
    difference,
    wilson,
)
from wordsight.metrics.checks import mark_pair

OVERLAP_CONFIDENCE = 0.995
"""Of the interval on `overlap`, as in the paper."""
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlapEffect:
    """What overlap does to the accuracy of one model on one set."""

    all: Estimate
    clean: Estimate
    overlap: Estimate | None
    """With its interval at 99.5 % (Clopper & Pearson, 1934); None where nothing overlaps."""
    share: Estimate
    """Of the evaluation pictures that overlap."""
    gain: Estimate
    """all - clean: what overlap adds to the score that is reported."""
    p_binomial: float
    """The paper's one-sided test: so many right on `overlap`, were it as hard as `clean`."""
    p_exact: float
    """Fisher's one-sided test, which also counts that `clean` itself is a sample."""
    p_adjusted: float
    """The larger of the two, times the number of sets (Bonferroni)."""

    @property
    def is_found(self) -> bool:
        """Whether overlap raised the accuracy, at the 5 % level over all sets together."""
        return self.p_adjusted < LEVEL


def overlap_effect(correct: ArrayLike, overlaps: ArrayLike) -> OverlapEffect:
    """Measure what overlap does to accuracy on one set; for several, `overlap_effects`.

    The paper's binomial test takes the accuracy on `clean` as known. Where much overlaps, `clean`
    is small and that test finds effects by chance more often than it says; Fisher's does not, and
    here both must find it.

    Args:
        correct: (N,) marks of what was predicted right.
        overlaps: (N,) marks of the pictures that have a copy in the training set.

    Raises:
        InputError: if the lengths differ, anything but marks is given, or every picture overlaps.
    """
    return overlap_effects({"": (correct, overlaps)})[""]


def overlap_effects(
    sets: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> dict[str, OverlapEffect]:
    """Measure what overlap does on several sets; p-values hold for all of them together.

    Args:
        sets: for each the arguments of `overlap_effect`.

    Raises:
        InputError: as `overlap_effect`, or if there is no set.
    """
    counts = {name: _count(name, *given) for name, given in sets.items()}
    p_values = {name: (_binomial(c), _exact(c)) for name, c in counts.items()}
    adjusted = bonferroni([max(pair) for pair in p_values.values()])
    return {
        name: _effect(counts[name], *p_values[name], float(p))
        for name, p in zip(counts, adjusted, strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Counts:
    """Pictures and right ones, in all and among those that overlap."""

    n: int
    right: int
    num_overlap: int
    right_overlap: int


def _count(name: str, correct: ArrayLike, overlaps: ArrayLike) -> _Counts:
    right, copied = mark_pair(correct, overlaps, ("correct", "overlaps"))
    if copied.all():
        raise InputError(
            f"{name or 'the set'}: all {len(copied)} pictures overlap; nothing is left to compare",
            hint="a higher threshold finds fewer",
        )
    return _Counts(len(right), int(right.sum()), int(copied.sum()), int((right & copied).sum()))


def _binomial(count: _Counts) -> float:
    if not count.num_overlap:
        return 1.0
    clean = (count.right - count.right_overlap) / (count.n - count.num_overlap)
    return binomial_test(count.right_overlap, count.num_overlap, clean, side="greater")


def _exact(count: _Counts) -> float:
    """Return the hypergeometric chance of so many right ones among those that overlap."""
    most = min(count.right, count.num_overlap)
    everything = _log_choose(count.n, count.num_overlap)
    terms = [
        _log_choose(count.right, k)
        + _log_choose(count.n - count.right, count.num_overlap - k)
        - everything
        for k in range(count.right_overlap, most + 1)
        if count.num_overlap - k <= count.n - count.right
    ]
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _effect(count: _Counts, p_binomial: float, p_exact: float, p_adjusted: float) -> OverlapEffect:
    n, copied = count.n, count.num_overlap
    clean = wilson(count.right - count.right_overlap, n - copied)
    gain = Estimate(0.0, 0.0, 0.0, n)
    overlap = None
    if copied:
        overlap = clopper_pearson(count.right_overlap, copied, OVERLAP_CONFIDENCE)
        apart = difference(wilson(count.right_overlap, copied), clean)
        part = copied / n
        gain = Estimate(part * apart.value, part * apart.low, part * apart.high, n)
    return OverlapEffect(
        all=wilson(count.right, n),
        clean=clean,
        overlap=overlap,
        share=wilson(copied, n),
        gain=gain,
        p_binomial=p_binomial,
        p_exact=p_exact,
        p_adjusted=p_adjusted,
    )
