"""What a production line asks: how many defects slip through, how many good parts are rejected.

A test set has far more defects than the line. Rates of missed defects and of rejected good parts
carry over to the line, precision does not: it is restated at the line's own share of defects.

Shape letters: N samples.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import fraction, mark_pair, scores_and_marks
from wordsight.metrics.estimate import Estimate, clopper_pearson
from wordsight.metrics.samples import chance_to_pass as chance_to_pass
from wordsight.metrics.samples import sample_plan as sample_plan
from wordsight.metrics.samples import samples_to_decide as samples_to_decide
from wordsight.metrics.samples import samples_without_a_miss as samples_without_a_miss


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a defect is called good, and a good part defective."""

    miss: Estimate
    """Of the defects; n is their number."""
    false_alarm: Estimate
    """Of the good parts; n is their number."""


@dataclass(frozen=True, slots=True)
class PerThousand:
    """An expected count in 1,000 parts of the line, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Samples that it rests on."""

    def __str__(self) -> str:
        return f"{self.value:.3g} in 1,000 ({self.low:.3g}-{self.high:.3g}, n={self.n})"


@dataclass(frozen=True, slots=True)
class LineRates:
    """What the rates mean on a line with its own share of defects."""

    defect_rate: float
    misses: PerThousand
    false_alarms: PerThousand
    precision: Estimate | None
    """Share of the alarms that are defects; None where nothing at all raised an alarm."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """An alarm is raised at this score and above."""

    value: float
    cost_per_part: float
    """On the samples it was chosen on, and therefore a little too good."""
    rates: Rates
    """Likewise."""
    part: str


def miss_and_false_alarm(predicted_defect: ArrayLike, is_defect: ArrayLike) -> Rates:
    """Return both rates with Clopper-Pearson intervals, which never promise too much; (N,) marks.

    Raises:
        InputError: if there are no defects or no good parts, or the marks are no marks of one
            length.
    """
    called, defect = mark_pair(predicted_defect, is_defect, ("predicted_defect", "is_defect"))
    num_defects, num_good = int(defect.sum()), int((~defect).sum())
    if not num_defects or not num_good:
        raise InputError(
            f"both rates need defects and good parts, got {num_defects} and {num_good}"
        )
    return Rates(
        clopper_pearson(int((defect & ~called).sum()), num_defects),
        clopper_pearson(int((~defect & called).sum()), num_good),
    )


def at_defect_rate(rates: Rates, defect_rate: float) -> LineRates:
    """Restate both rates for a line on which this share of the parts is defective.

    The counts are expected ones: misses = 1000 d m, false alarms = 1000 (1 - d) f, and
    precision = d (1 - m) / (d (1 - m) + (1 - d) f). The interval of the precision comes from
    that of the ratio f / (1 - m) (Donner & Zou, 2012); d is taken as known.

    Raises:
        InputError: if defect_rate does not lie between 0 and 1.
    """
    fraction(defect_rate, "defect_rate")
    return LineRates(
        defect_rate,
        _per_thousand(rates.miss, defect_rate),
        _per_thousand(rates.false_alarm, 1 - defect_rate),
        _precision(rates, (1 - defect_rate) / defect_rate),
    )


def choose_threshold(
    scores: ArrayLike,
    is_defect: ArrayLike,
    miss_cost: float,
    false_alarm_cost: float,
    *,
    part: str,
    defect_rate: float | None = None,
) -> Threshold:
    """Choose the alarm threshold that costs least per part; of equals the one that misses least.

    Args:
        scores: (N,), higher is more likely a defect.
        is_defect: (N,) marks.
        miss_cost: of one defect called good, in any unit.
        false_alarm_cost: of one good part called a defect, in the same unit.
        part: the name of the part of the data the scores come from. A threshold chosen on the
            test part makes every number of that part too good, so "test" is refused.
        defect_rate: the line's own share of defects; without it that of the samples.

    Raises:
        InputError: for the test part, costs that are not positive, one class only, or scores that
            are not finite.
    """
    if part.strip().casefold().startswith("test"):
        raise InputError(
            f"a threshold must not be chosen on the part {part!r}",
            hint="choose it on the validation part, and measure on the test part once",
        )
    if not (0 < miss_cost < math.inf and 0 < false_alarm_cost < math.inf):
        raise InputError(f"costs must be positive, got {miss_cost} and {false_alarm_cost}")
    values, defect = scores_and_marks(scores, is_defect)
    share = float(defect.mean()) if defect_rate is None and len(defect) else defect_rate
    if defect.all() or not defect.any() or share is None:
        raise InputError("a threshold needs scores of defects and of good parts")
    fraction(share, "defect_rate")
    levels, place = np.unique(values, return_inverse=True)
    missed = np.concatenate([[0], np.cumsum(np.bincount(place, weights=defect))]) / defect.sum()
    quiet = np.concatenate([[0], np.cumsum(np.bincount(place, weights=~defect))])
    alarmed = 1 - quiet / (~defect).sum()
    cost = share * miss_cost * missed + (1 - share) * false_alarm_cost * alarmed
    best = int(np.flatnonzero(cost <= cost.min() * (1 + 1e-12))[0])
    value = _between(levels, best, np.asarray(scores).dtype)
    return Threshold(value, float(cost[best]), miss_and_false_alarm(values >= value, defect), part)


def _per_thousand(rate: Estimate, share: float) -> PerThousand:
    value, low, high = (1000 * share * x for x in (rate.value, rate.low, rate.high))
    return PerThousand(value, low, high, rate.n)


def _precision(rates: Rates, good_per_defect: float) -> Estimate | None:
    alarm, miss = rates.false_alarm, rates.miss
    found = Estimate(1 - miss.value, 1 - miss.high, 1 - miss.low, miss.n)
    if not alarm.value and not found.value:
        return None
    value = found.value / (found.value + good_per_defect * alarm.value)
    least, most = _ratio_limits(alarm, found)
    return Estimate(
        value,
        1 / (1 + good_per_defect * most),
        1 / (1 + good_per_defect * least),
        miss.n + alarm.n,
    )


def _ratio_limits(above: Estimate, below: Estimate) -> tuple[float, float]:
    """Return the limits of above / below from their intervals (Donner & Zou, 2012, equation 9)."""
    product = above.value * below.value
    rise, fall = (
        (above.high * (2 * above.value - above.high), below.low * (2 * below.value - below.low)),
        (above.low * (2 * above.value - above.low), below.high * (2 * below.value - below.high)),
    )
    most = math.inf
    if rise[1] > 0:
        most = (product + math.sqrt(max(0.0, product**2 - rise[0] * rise[1]))) / rise[1]
    # The same root, turned over: it stays finite where the other form is 0 / 0.
    turned = product + math.sqrt(max(0.0, product**2 - fall[0] * fall[1]))
    return (fall[0] / turned if turned > 0 else 0.0), most


def _between(levels: NDArray[np.float64], index: int, dtype: np.dtype[Any]) -> float:
    """Return a threshold that no rounding to the type of the scores moves across a score."""
    kind = dtype.type if dtype.kind == "f" else np.float64
    if index == 0:
        return float(levels[0])
    if index == len(levels):
        return float(np.nextafter(kind(levels[-1]), kind(np.inf)))
    middle = float(kind((levels[index - 1] + levels[index]) / 2))
    return middle if middle > levels[index - 1] else float(levels[index])
