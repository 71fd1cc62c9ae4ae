"""What an inspector wants to reach, from the table `[targets]` of his file.

    [targets]
    recall = 0.95                      # share of the defects that must be found
    specificity = 0.9                  # share of the good parts that must pass
    accuracy = 0.9                     # share of the pictures that must be judged right
    max_false_alarms_per_1000 = 50     # of 1,000 parts of the line
    defect_rate = 0.01                 # share of the line's parts that are defective
    miss_cost = 40.0                   # of one defect that is missed, in any unit
    false_alarm_cost = 2.0             # of one good part that is stopped

Every key may be left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wordsight.config import from_dict
from wordsight.errors import ConfigError

Measure = Literal["recall", "specificity", "accuracy"]
GoalName = Literal["recall", "specificity", "accuracy", "max_false_alarms_per_1000"]

_PER = 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """One target, as a share that a measure must reach."""

    name: GoalName
    """The key it was written under."""
    wanted: float
    """The number that was written."""
    measure: Measure
    at_least: float
    """What `measure` must reach for `wanted` to be kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What must be reached, and what the line is like; None where nothing was said."""

    recall: float | None = None
    specificity: float | None = None
    accuracy: float | None = None
    max_false_alarms_per_1000: float | None = None
    defect_rate: float | None = None
    miss_cost: float | None = None
    false_alarm_cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("recall", "specificity", "accuracy", "defect_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(
                    f"{name} is {value}, expected a share between 0 and 1; no number of pictures "
                    "proves exactly 0 or 1"
                )
        _check_alarms(self.max_false_alarms_per_1000, self.defect_rate)
        costs = (self.miss_cost, self.false_alarm_cost)
        if (costs[0] is None) != (costs[1] is None):
            raise ValueError("miss_cost and false_alarm_cost belong together; one is missing")
        for cost in costs:
            if cost is not None and not 0 < cost < float("inf"):
                raise ValueError(f"a cost is {cost}, expected a positive number")

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Everything a verdict is asked about, in the order of the file above."""
        shares: tuple[tuple[Measure, float | None], ...] = (
            ("recall", self.recall),
            ("specificity", self.specificity),
            ("accuracy", self.accuracy),
        )
        found = [Goal(name, value, name, value) for name, value in shares if value is not None]
        alarms = self.max_false_alarms_per_1000
        if alarms is not None:
            least = _specificity_for(alarms, self.defect_rate)
            found.append(Goal("max_false_alarms_per_1000", alarms, "specificity", least))
        return tuple(found)

    @property
    def least_specificity(self) -> float | None:
        """The stricter of what `specificity` and `max_false_alarms_per_1000` ask for."""
        asked = [goal.at_least for goal in self.goals if goal.measure == "specificity"]
        return max(asked, default=None)


def read_targets(table: Mapping[str, Any], *, where: str) -> Targets:
    """Return the table `[targets]` with types.

    Args:
        table: what the file holds; an empty one asks for nothing.
        where: the file, for messages.

    Raises:
        ConfigError: for an unknown key, or a value that cannot be a target.
    """
    return from_dict(Targets, table, where=f"{where}: [targets]")


def need_goals(targets: Targets, *, has_positive: bool, where: str) -> None:
    """Check that what is asked for can be measured.

    Raises:
        ConfigError: if a target speaks of defects, and no class is called one.
    """
    inspection = [goal.name for goal in targets.goals if goal.measure != "accuracy"]
    if inspection and not has_positive:
        raise ConfigError(
            f"{where}: [targets] {inspection[0]} needs to know which classes are defects",
            hint='say it in [set]: positive = ["crack", ...]',
        )


def _check_alarms(alarms: float | None, defect_rate: float | None) -> None:
    if alarms is None:
        return
    good = _PER * (1 - (defect_rate or 0.0))
    if not 0 < alarms < good:
        raise ValueError(
            f"max_false_alarms_per_1000 is {alarms}, expected a number between 0 and the "
            f"{good:g} good parts among {_PER}"
        )


def _specificity_for(alarms: float, defect_rate: float | None) -> float:
    """Among 1,000 parts, only the good ones can raise a false alarm."""
    return 1 - alarms / (_PER * (1 - (defect_rate or 0.0)))
