"""How many samples it takes: to prove a recall, and to decide a target after a first look."""

import math
from collections.abc import Callable

from wordsight.errors import InputError
from wordsight.metrics import binomial
from wordsight.metrics.checks import fraction
from wordsight.metrics.estimate import CONFIDENCE, Estimate

MOST_SAMPLES = 10_000_000


def samples_without_a_miss(recall: float = 0.95, confidence: float = CONFIDENCE) -> int:
    """Return how many defects, all found, prove that recall is at least `recall`.

    One-sided: the smallest n with recall^n <= 1 - confidence. 59 for 95 % and 95 %.

    Raises:
        InputError: if either does not lie between 0 and 1, or it takes more than ten million.
    """
    return sample_plan(recall, confidence, most_misses=0)[0]


def sample_plan(
    recall: float = 0.95, confidence: float = CONFIDENCE, *, most_misses: int = 5
) -> tuple[int, ...]:
    """Return how many defects prove `recall` with 0, 1, 2 ... `most_misses` of them missed.

    One-sided: with m misses the smallest n at which a model of exactly this recall misses m or
    fewer with a chance of at most 1 - confidence. How many misses to allow is fixed before
    looking; `chance_to_pass` says what it does for a model that is really better.

    Raises:
        InputError: if a share does not lie between 0 and 1, most_misses is negative, or it takes
            more than ten million.
    """
    fraction(recall, "recall")
    fraction(confidence, "confidence")
    if most_misses < 0:
        raise InputError(f"most_misses must not be negative, got {most_misses}")
    plan: list[int] = []
    for misses in range(most_misses + 1):
        least = _first(
            lambda n, m=misses: binomial.at_most(m, n, 1 - recall) <= 1 - confidence,
            plan[-1] + 1 if plan else 1,
        )
        if least is None:
            raise InputError(f"a recall of {recall} takes more than {MOST_SAMPLES:,} samples")
        plan.append(least)
    return tuple(plan)


def chance_to_pass(samples: int, misses: int, true_recall: float) -> float:
    """Return the chance that a model of this recall misses at most `misses` of `samples` defects.

    Raises:
        InputError: if samples is not positive, misses is not within 0..samples, or true_recall
            is not within 0..1.
    """
    if samples < 1 or not 0 <= misses <= samples:
        raise InputError(f"expected 0 <= misses <= samples, got {misses} of {samples}")
    if not 0 <= true_recall <= 1:
        raise InputError(f"true_recall must lie within 0..1, got {true_recall}")
    return binomial.at_most(misses, samples, 1 - true_recall)


def samples_to_decide(
    estimate: Estimate,
    target: float,
    *,
    interval: Callable[[int, int], Estimate] | None = None,
) -> int | None:
    """Return how many more samples would decide a target, if they come out like those seen.

    Decided is a target that lies outside the interval: met with low >= target, not met with
    high < target. None: no number would (what was seen is the target itself), or more than ten
    million. It is a plan, not a promise: luck makes it about as often too few as enough.

    Args:
        estimate: what was seen.
        target: what it is to be compared with, in the same unit.
        interval: `wilson` or `clopper_pearson`, for a share with that interval: it is then worked
            out for more samples. Without it, its side towards the target is taken to shrink with
            the square root of n, as is right for any metric that is not close to 0 or 1.
    """
    if estimate.low >= target or estimate.high < target:
        return 0
    gap = abs(estimate.value - target)
    if not gap:
        return None
    met = estimate.value > target
    if interval is None:
        side = estimate.value - estimate.low if met else estimate.high - estimate.value
        needed = math.ceil(estimate.n * (side / gap) ** 2)
        # The side that just touches from below is not beyond the target yet.
        return max(1, needed - estimate.n) if needed <= MOST_SAMPLES else None

    def is_decided(n: int) -> bool:
        exact = estimate.value * n
        count = math.floor(exact + 1e-9) if met else math.ceil(exact - 1e-9)
        grown = interval(count, n)
        return grown.low >= target if met else grown.high < target

    enough = _first(is_decided, estimate.n + 1)
    return None if enough is None else enough - estimate.n


def _first(is_enough: Callable[[int], bool], least: int) -> int | None:
    """Return the smallest number that is enough, from `least` on, by doubling and halving."""
    below, step = least - 1, 1
    above = least
    while not is_enough(above):
        if above >= MOST_SAMPLES:
            return None
        below, step = above, 2 * step
        above = min(above + step, MOST_SAMPLES)
    while above - below > 1:
        middle = (above + below) // 2
        if is_enough(middle):
            above = middle
        else:
            below = middle
    return above
