"""An inspector's question: is this good enough on my pictures, and how sure are we?

Shape letters: N pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.evaluation.clusters import counted, design_effect
from wordsight.evaluation.results import Prediction
from wordsight.evaluation.targets import Goal, Measure, Targets
from wordsight.evaluation.verdict import Outcome, Verdict, decide, overall
from wordsight.metrics import Estimate, roc_auc
from wordsight.metrics.inspection import LineRates, Rates, at_defect_rate


@dataclass(frozen=True, slots=True)
class Measured:
    """A share, and what the pictures behind it are worth."""

    estimate: Estimate
    groups: int
    """Parts, lots or days that the pictures show; each picture is one where nothing is said."""
    worth: float
    """As many independent pictures would say as much."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A target, and whether it is reached."""

    goal: Goal
    measured: Measured
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What one way of using one model is worth on the pictures of one collection."""

    measures: Mapping[Measure, Measured]
    roc_auc: Estimate | None
    """None where there are no margins."""
    judgements: tuple[Judgement, ...]
    outcome: Outcome | None
    """Of all targets together; None if there are none."""
    line: LineRates | None
    """What the rates mean at the line's own share of defects, where that is known."""


def inspect(
    predictions: Sequence[Prediction], *, positive: Sequence[str], targets: Targets
) -> Inspection:
    """Hold what was said of every picture against the targets.

    Intervals are exact, and count pictures of one group as fewer (`clusters`). What no interval
    covers: models of a cross-validation share most of their pictures, and each is made of fewer
    than the model that will be used.

    Args:
        predictions: with a margin each, made without the picture and its group.
        positive: the classes that are defects; without any, accuracy alone is measured.
        targets: what is to be reached.

    Raises:
        InputError: if there are no predictions; if with defects one has no margin, or all pictures
            are defects, or none is; if a target needs what is not measured.
    """
    if not predictions:
        raise InputError("there are no predictions to judge")
    measures = _of_defects(predictions, positive) if positive else _of_classes(predictions)
    judgements: list[Judgement] = []
    for goal in targets.goals:
        if goal.measure not in measures:
            raise InputError(f"target {goal.name} needs to know which classes are defects")
        judgements.append(_judge(goal, measures[goal.measure]))
    verdicts = [one.verdict for one in judgements]
    return Inspection(
        measures=measures,
        roc_auc=roc_auc(_margins(predictions), is_defective(predictions, positive))
        if positive
        else None,
        judgements=tuple(judgements),
        outcome=overall(verdicts) if verdicts else None,
        line=_on_the_line(measures, targets.defect_rate) if positive else None,
    )


def is_defective(predictions: Sequence[Prediction], positive: Sequence[str]) -> NDArray[np.bool_]:
    """Return which pictures show a defect, (N,)."""
    return np.array([bool(set(one.truth) & set(positive)) for one in predictions], dtype=bool)


def _margins(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    for one in predictions:
        if one.margin is None:
            raise InputError(f"{one.key}: nothing says how far it is from the line")
    return np.array([one.margin for one in predictions], dtype=np.float64)


def _groups(predictions: Sequence[Prediction]) -> NDArray[np.str_]:
    return np.array([one.group or f"\0{place}" for place, one in enumerate(predictions)])


def _of_defects(
    predictions: Sequence[Prediction], positive: Sequence[str]
) -> dict[Measure, Measured]:
    is_defect, margins = is_defective(predictions, positive), _margins(predictions)
    if is_defect.all() or not is_defect.any():
        raise InputError("an inspection needs pictures of defects and of good parts")
    is_right = (margins >= 0) == is_defect
    signed = np.where(is_defect, margins, -margins)
    groups = _groups(predictions)
    chosen: dict[Measure, NDArray[np.bool_]] = {
        "recall": is_defect,
        "specificity": ~is_defect,
        "accuracy": np.ones_like(is_defect),
    }
    return {
        name: _measured(is_right[which], signed[which], groups[which])
        for name, which in chosen.items()
    }


def _of_classes(predictions: Sequence[Prediction]) -> dict[Measure, Measured]:
    is_right = np.array([one.is_correct for one in predictions])
    return {"accuracy": _measured(is_right, is_right.astype(np.float64), _groups(predictions))}


def _measured(
    is_right: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.str_]
) -> Measured:
    names = [str(one) for one in groups]
    effect = design_effect(scores, names)
    estimate = counted(int(is_right.sum()), len(is_right), effect)
    return Measured(estimate, len(set(names)), len(names) / effect)


def _judge(goal: Goal, measured: Measured) -> Judgement:
    effect = max(1.0, measured.estimate.n / measured.worth)
    return Judgement(goal, measured, decide(measured.estimate, goal.at_least, effect=effect))


def _on_the_line(
    measures: Mapping[Measure, Measured], defect_rate: float | None
) -> LineRates | None:
    if defect_rate is None:
        return None
    miss, alarm = (_complement(measures[name].estimate) for name in ("recall", "specificity"))
    return at_defect_rate(Rates(miss, alarm), defect_rate)


def _complement(share: Estimate) -> Estimate:
    return Estimate(1 - share.value, 1 - share.high, 1 - share.low, share.n)
