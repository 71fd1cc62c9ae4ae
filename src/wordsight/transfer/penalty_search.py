"""The paper's search for the strength of a penalty (Radford et al., 2021, appendix A.3).

The range 1e-6 to 1e6 has 8 steps in every decade, 96 in all. Seven penalties two decades apart are
tried first; then those half as far to either side of the best, and so on down to one step: 15 fits
at most instead of 97.
"""

from collections.abc import Callable
from dataclasses import dataclass

STEPS_PER_DECADE = 8
LOWEST, HIGHEST = -6, 6
_FIRST_STEP = 2 * STEPS_PER_DECADE


@dataclass(frozen=True, slots=True, order=True)
class Score:
    """How well a penalty does on the validation part; a greater one is better."""

    accuracy: float
    log_likelihood: float
    """Mean per sample. The paper does not say what decides between equal accuracies: this does."""


def penalty_at(place: int) -> float:
    """Return the penalty at a place of the grid, 0 to 96."""
    return float(10.0 ** (LOWEST + place / STEPS_PER_DECADE))


def search_penalty(score: Callable[[float], Score]) -> tuple[float, dict[float, Score]]:
    """Return the best penalty, and the score of every one tried, from small to large.

    Where accuracy has several peaks it finds one of them. Of equal scores the greater penalty is
    taken.

    Args:
        score: fits with a penalty, and scores it. It is called with the great ones first, so that
            each fit can start from the one before.
    """
    last = (HIGHEST - LOWEST) * STEPS_PER_DECADE
    found: dict[int, Score] = {}
    for place in range(last, -1, -_FIRST_STEP):
        found[place] = score(penalty_at(place))
    step = _FIRST_STEP // 2
    while step:
        best = _best(found)
        for place in (best + step, best - step):
            if 0 <= place <= last:
                found[place] = score(penalty_at(place))
        step //= 2
    return penalty_at(_best(found)), {penalty_at(place): found[place] for place in sorted(found)}


def _best(found: dict[int, Score]) -> int:
    return max(found, key=lambda place: (found[place], place))
