"""How many labelled examples of each class words are worth (Radford et al., 2021, section 3.1.5).

The number at which the few-shot curve reaches the zero-shot score, interpolated with the logarithm
of the number of examples.

Shape letters: S draws of the examples, N test samples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.errors import InputError
from wordsight.evaluation.curve import Curve, checked_curve
from wordsight.metrics import bootstrap_rows

Side = Literal["within", "below", "above"]


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Examples per class that do as well as words alone, with a 95 % interval."""

    examples: float
    side: Side
    """`below`: fewer than the curve begins with; `above`: more than it ends with."""
    low: float
    high: float
    """Limits; at an end of the curve they say no more than that it lies there or beyond."""
    n: int
    """Test samples."""

    def __str__(self) -> str:
        sign = {"within": "", "below": "<= ", "above": ">= "}[self.side]
        return (
            f"{sign}{self.examples:.1f} examples per class "
            f"({self.low:.1f}-{self.high:.1f}, n={self.n})"
        )


def examples_equivalent(
    shots: Sequence[float], scores: Sequence[float], zero_shot: float
) -> tuple[float, Side]:
    """Return the number of examples per class at which a curve reaches a score, and where that is.

    A curve that falls by chance counts as level: what fewer examples reached, more reach as well.

    Args:
        shots: numbers of examples per class; a fully labelled set is one more of them.
        scores: what was reached with each.
        zero_shot: the score to reach.

    Raises:
        InputError: if there are fewer than two points, or one is not finite or not positive.
    """
    places, values = np.asarray(shots, np.float64), np.asarray(scores, np.float64)
    if places.ndim != 1 or places.shape != values.shape or len(places) < 2:
        raise InputError(f"expected two points or more, got {places.shape} and {values.shape}")
    if not np.isfinite([*places, *values, zero_shot]).all() or places.min() <= 0:
        raise InputError("numbers of examples must be positive, and all numbers finite")
    order = np.argsort(places)
    places, values = places[order], np.maximum.accumulate(values[order])
    if zero_shot <= values[0]:
        return float(places[0]), "below" if zero_shot < values[0] else "within"
    if zero_shot > values[-1]:
        return float(places[-1]), "above"
    after = int(np.argmax(values >= zero_shot))
    low, high = float(values[after - 1]), float(values[after])
    share = (zero_shot - low) / (high - low)
    first, second = math.log(places[after - 1]), math.log(places[after])
    return math.exp(first + share * (second - first)), "within"


def examples_equivalence(
    correct: Mapping[int, ArrayLike],
    zero_shot: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Equivalence:
    """Estimate how many examples per class words are worth, from what was predicted right.

    The interval draws the same test samples again for the curve and for the words, and for each
    number of examples its draws again.

    Args:
        correct: as `few_shot_curve`; all tables are of the same N test samples.
        zero_shot: (N,) marks of what words alone got right.
        seed: of the draws of the interval.
        resamples: how many draws.

    Raises:
        InputError: as `few_shot_curve`, for fewer than two points, or other test samples.
    """
    curve = checked_curve(correct)
    words = np.asarray(zero_shot, np.float64)
    for shots, values in curve.items():
        if words.shape != values.shape[1:]:
            raise InputError(
                f"{shots} examples: {values.shape[1]} test samples, zero-shot has {words.shape}"
            )
    random = np.random.default_rng([seed, 1])

    def draw(rows: NDArray[np.int64]) -> float:
        again = {shots: _drawn(values, random)[:, rows] for shots, values in curve.items()}
        return math.log(_reached(again, words[rows])[0])

    examples, side = _reached(curve, words)
    found = bootstrap_rows(draw, len(words), seed=seed, resamples=resamples)
    return Equivalence(
        examples,
        side,
        min(math.exp(found.low), examples),
        max(math.exp(found.high), examples),
        len(words),
    )


def _drawn(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    return values[random.integers(len(values), size=len(values))]


def _reached(curve: Curve, words: NDArray[np.float64]) -> tuple[float, Side]:
    scores = [float(values.mean()) for values in curve.values()]
    return examples_equivalent(list(curve), scores, float(words.mean()))
