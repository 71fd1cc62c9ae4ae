"""Contenders that take turns, so that whatever disturbs the machine disturbs all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Several measurements of one thing; none is left out."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the median and the range."""
        return cls(
            median=float(np.median(values)), low=min(values), high=max(values), n=len(values)
        )

    @classmethod
    def of_rates(cls, seconds: Sequence[float], count: int) -> "Spread":
        """Return how many are done in a second, where `count` are done in a turn."""
        return cls.of([count / value for value in seconds])


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long one takes, in seconds."""

    p50: float
    p95: float
    """As long as this at most take 95 % of them."""
    worst: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Return the percentiles: of what was measured, the least that so many do not exceed."""
        p50, p95 = np.quantile(seconds, (0.5, 0.95), method="inverted_cdf")
        return cls(p50=float(p50), p95=float(p95), worst=max(seconds), n=len(seconds))


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    least_rounds: int = LEAST_ROUNDS,
    between: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Return the wall seconds of every turn of each; all have as many turns.

    Args:
        calls: what each does in a turn; the first to go is another one in every round.
        seconds: time for each of them; the round that is begun is finished.
        least_rounds: rounds that are run in any case.
        between: called after every round.
    """
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    spent = 0.0
    rounds = 0
    while rounds < least_rounds or spent < seconds * len(names):
        first = rounds % len(names)
        for name in names[first:] + names[:first]:
            begun = time.perf_counter()
            calls[name]()
            value = time.perf_counter() - begun
            taken[name].append(value)
            spent += value
        rounds += 1
        between()
    return taken


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """Return how many times as long they took as we did, round by round."""
    return Spread.of([their / our for their, our in zip(theirs, ours, strict=True)])
