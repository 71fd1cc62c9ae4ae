"""Is a target reached, not reached, or can these pictures not tell?

A verdict rests on an exact two-sided 95 % interval, so "met" is wrong at most 2.5 times in 100,
and so is "not met", whatever the true rate is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

from wordsight.errors import InputError
from wordsight.metrics import CONFIDENCE, Estimate, binomial

MOST_PICTURES = 100_000
"""Nobody collects more; a rate that needs them is as good as the target itself."""


Outcome: TypeAlias = Literal["met", "not_met", "cannot_tell"]
"""What can be said of a target."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of a target, and what it would take to say more."""

    outcome: Outcome
    more_needed: int | None = None
    """Pictures beyond those seen that would decide it at the rate seen; None if it is decided, or
    if the rate seen is so close to the target that no collection would do."""


def decide(estimate: Estimate, target: float, *, effect: float = 1.0) -> Verdict:
    """Judge a share that must reach a target.

    Met when the whole interval is at the target or above, not met when it is below; otherwise
    these samples cannot tell, and `more_needed` says how many more of them would.

    More precisely: were the share among all of them as it was among those seen, the interval of
    so many would for the first time leave the target out. The true share is not known, so it is a
    plan, not a promise: about every second collection of that size decides.

    Args:
        estimate: of a counted share, by an interval as `clusters.counted` makes it.
        target: what it must reach, between 0 and 1.
        effect: how many samples are worth one independent sample (`clusters.design_effect`).

    Raises:
        InputError: if the target is not between 0 and 1, or the effect is below 1.
    """
    if not 0 < target < 1:
        raise InputError(f"a target lies between 0 and 1, got {target}")
    if effect < 1:
        raise InputError(f"a design effect is 1 or more, got {effect}")
    if estimate.low >= target:
        return Verdict("met")
    if estimate.high < target:
        return Verdict("not_met")
    worth = math.floor(estimate.n / effect + 1e-9)
    needed = samples_to_decide(estimate.value, target, beyond=worth)
    if needed is None:
        return Verdict("cannot_tell")
    return Verdict("cannot_tell", max(1, math.ceil(needed * effect - 1e-9) - estimate.n))


def samples_to_decide(share: float, target: float, *, beyond: int = 0) -> int | None:
    """Return the smallest n above `beyond` whose exact interval lies on one side of `target`.

    The count at n is share * n, rounded towards the target. None if the share is the target, or n
    would exceed `MOST_PICTURES`.
    """
    if share == target:
        return None
    is_above = share > target
    good, bar = (share, target) if is_above else (1 - share, 1 - target)
    tail = (1 - CONFIDENCE) / 2
    first = max(beyond + 1, _surely_too_few(good, bar))
    count = max(1, math.floor(good * first + 1e-9))
    # Among the n that give one count, the smallest is the clearest.
    while (n := max(first, math.ceil(count / good - 1e-9))) <= MOST_PICTURES:
        chance = binomial.at_least(count, n, bar)
        if chance <= tail if is_above else chance < tail:
            return n
        count += 1
    return None


def _surely_too_few(share: float, bar: float) -> int:
    """Half of what the normal approximation asks for: saves the search thousands of steps."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return math.floor(min(MOST_PICTURES, z * z * bar * (1 - bar) / (share - bar) ** 2) / 2)


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """Return the verdict on all targets together: met when each is, not met when one is not.

    "All met" needs no correction for several targets: it is wrong only if one of its parts is,
    and each is at most 2.5 times in 100 (intersection-union test; Berger, 1982). "Not met" is
    wrong at most 2.5 times in 100 for each target there is.

    Raises:
        InputError: if there are no verdicts.
    """
    if not verdicts:
        raise InputError("there is no target to judge")
    outcomes = {verdict.outcome for verdict in verdicts}
    if "not_met" in outcomes:
        return "not_met"
    return "met" if outcomes == {"met"} else "cannot_tell"
