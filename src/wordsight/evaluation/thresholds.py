"""Where to draw the line between good and defective, from pictures that will not be judged by it.

Shape letters: N pictures.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.evaluation.targets import Targets
from wordsight.metrics.inspection import choose_threshold

Rule: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.bool_]], float]
"""From scores (N,) and marks of defects (N,) to the score from which a picture is a defect."""

PART = "training folds"


def rule_for(targets: Targets) -> Rule:
    """Return how a threshold is chosen: by cost where costs are given, else by the targets."""
    miss, alarm = targets.miss_cost, targets.false_alarm_cost
    if miss is not None and alarm is not None:
        rate = targets.defect_rate
        return lambda scores, is_defect: (
            choose_threshold(scores, is_defect, miss, alarm, part=PART, defect_rate=rate).value
        )
    return lambda scores, is_defect: threshold_for_targets(
        scores,
        is_defect,
        recall=targets.recall or 0.0,
        specificity=targets.least_specificity or 0.0,
    )


def threshold_for_targets(
    scores: NDArray[np.float64],
    is_defect: NDArray[np.bool_],
    *,
    recall: float,
    specificity: float,
) -> float:
    """Return the threshold that keeps most room to both targets.

    Room is the share of the way from a target to 100 % that is left over, so that missing a
    target of 99 % by one point counts as much as missing one of 90 % by ten; the smaller of the
    two is made as large as can be, and among equal ones the lowest threshold is taken. Without a
    target (0) the room is the rate itself.

    Args:
        scores: (N,), higher is more likely a defect.
        is_defect: (N,).
        recall: target within 0..1, 1 excluded.
        specificity: likewise.

    Raises:
        InputError: if there are no defects or no good parts, or a target is 1 or more.
    """
    if is_defect.all() or not is_defect.any():
        raise InputError("a threshold needs scores of defects and of good parts")
    if not (0 <= recall < 1 and 0 <= specificity < 1):
        raise InputError(f"targets lie within 0..1, 1 excluded, got {recall} and {specificity}")
    levels, place = np.unique(scores, return_inverse=True)
    above_all = np.nextafter(levels[-1:], np.inf)
    cuts = np.concatenate([levels[:1], (levels[:-1] + levels[1:]) / 2, above_all])
    defects = np.bincount(place, weights=is_defect)
    below = np.concatenate([[0.0], np.cumsum(defects)])
    found = 1 - below / below[-1]
    good = np.concatenate([[0.0], np.cumsum(np.bincount(place, weights=~is_defect))])
    passed = good / good[-1]
    room = np.minimum((found - recall) / (1 - recall), (passed - specificity) / (1 - specificity))
    return float(cuts[int(np.argmax(room))])
