"""Whether the machine was quiet while something was measured.

A neighbour on one core makes a measurement of several threads worthless, and so does a clock that
changes. Both are looked at before, during and after: the processor time that others use, and how
long a fixed piece of work takes in processor time.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from wordsight.speed.processor_time import Reading, read_processor_time

BUSY_CORES = 0.1
"""Cores that others may use on the average."""
CLOCK_SHARE = 0.9
"""Of the best speed of the fixed work that was seen, at least."""
LOOK_EVERY_S = 1.0
WINDOW_S = 0.5
"""How long the machine is watched before anything is measured."""
BURST_S = 0.05
LOOP_S = 0.25
PIECE = 4096
TIMES_PER_BURST = 50
FINE_S = 1e-3

Method = Literal["proc", "loop"]
Reason = Literal["others", "stolen", "clock"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether the machine was quiet, and by how much it was not."""

    is_quiet: bool
    reasons: tuple[Reason, ...]
    """others: other programs used it; stolen: the host of this virtual machine took its time;
    clock: it did not run at the same speed all the time."""
    others_cores: float
    """Cores that others used on the average."""
    worst_cores: float
    """Cores that others used in the busiest interval between two looks."""
    stolen_cores: float
    """Cores that the host took on the average; 0 where that is not known."""
    slowest_clock: float
    """Slowest speed of the fixed work, as a share of the fastest."""
    num_looks: int
    seconds: float
    """How long it was watched."""
    waited_s: float
    """How long it was waited for a quiet moment."""
    method: Method
    """proc: counted by the system; loop: the share of a loop's time in which it did not run, which
    finds others only where every core is busy."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, rounded to what can be measured."""
        values = asdict(self) | {"reasons": list(self.reasons)}
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in values.items()
        }

    def __str__(self) -> str:
        clock = f"the clock fell to {self.slowest_clock:.0%} of its best"
        used = (
            f"others used {self.others_cores:.2f} cores ({self.worst_cores:.2f} at worst), the "
            f"host took {self.stolen_cores:.2f}, {clock}"
        )
        return (
            f"quiet: {used}" if self.is_quiet else f"DISTURBED ({', '.join(self.reasons)}): {used}"
        )


@dataclass(frozen=True, slots=True)
class _Look:
    when: float
    reading: Reading | None
    lost: float
    """Share of a loop's time in which it did not run; 0 where the system counts better."""
    burst_s: float


class Watch:
    """Looks at the machine from when it is made until `verdict` is asked for.

    Args:
        wait_s: wait for a quiet moment first, as long as this at most.
        read: returns what others have used so far; None where the system does not say.
    """

    def __init__(
        self,
        *,
        wait_s: float = 0.0,
        read: Callable[[], Reading | None] = read_processor_time,
    ):
        self._read = read
        self._looks: list[_Look] = []
        begun = time.perf_counter()
        self.look()
        while True:
            time.sleep(WINDOW_S)
            self.look()
            self._waited_s = time.perf_counter() - begun
            if self._is_quiet_now() or self._waited_s >= wait_s:
                break
        # What was before the quiet moment is none of the measurement, but for the best clock.
        self._best_s = min(look.burst_s for look in self._looks)
        self._looks = self._looks[-2:]

    def look(self) -> None:
        """Look now; takes a twentieth of a second."""
        reading = self._read()
        lost = 0.0 if reading else _lost_share()
        burst_s = _burst()
        self._looks.append(_Look(time.perf_counter(), reading, lost, burst_s))

    def glance(self) -> None:
        """Look if the last look is a second ago; to be called between two measurements."""
        if time.perf_counter() - self._looks[-1].when >= LOOK_EVERY_S:
            self.look()

    def verdict(self) -> Verdict:
        """Look a last time, and say how it was since the watch began."""
        self.look()
        others, stolen = self._used(self._looks[0], self._looks[-1])
        windows = [
            self._used(first, second)[0]
            for first, second in zip(self._looks, self._looks[1:], strict=False)
            if second.when - first.when >= WINDOW_S
        ]
        best_s = min(self._best_s, *(look.burst_s for look in self._looks))
        slowest = best_s / max(look.burst_s for look in self._looks)
        reasons: list[Reason] = []
        if others > BUSY_CORES:
            reasons.append("others")
        if stolen > BUSY_CORES:
            reasons.append("stolen")
        if slowest < CLOCK_SHARE:
            reasons.append("clock")
        return Verdict(
            is_quiet=not reasons,
            reasons=tuple(reasons),
            others_cores=others,
            worst_cores=max(windows, default=others),
            stolen_cores=stolen,
            slowest_clock=slowest,
            num_looks=len(self._looks),
            seconds=self._looks[-1].when - self._looks[0].when,
            waited_s=self._waited_s,
            method="proc" if self._looks[-1].reading else "loop",
        )

    def _is_quiet_now(self) -> bool:
        others, stolen = self._used(self._looks[-2], self._looks[-1])
        best_s = min(look.burst_s for look in self._looks)
        is_fast = best_s / self._looks[-1].burst_s >= CLOCK_SHARE
        return max(others, stolen) <= BUSY_CORES and is_fast

    def _used(self, first: _Look, last: _Look) -> tuple[float, float]:
        """Return the cores that others and the host used between two looks."""
        if first.reading is None or last.reading is None:
            between = [look.lost for look in self._looks if first.when < look.when <= last.when]
            return sum(between) / max(1, len(between)), 0.0
        seconds = max(last.when - first.when, FINE_S)
        others = (last.reading.others - first.reading.others) / seconds
        stolen = (last.reading.stolen - first.reading.stolen) / seconds
        return max(0.0, others), max(0.0, stolen)


def _burst() -> float:
    """Return the least processor seconds that a fixed piece of work takes, of a few dozen times.

    The least, as a clock that was asleep needs some of them to wake up.
    """
    is_fine = time.get_clock_info("thread_time").resolution <= FINE_S
    clock = time.thread_time if is_fine else time.perf_counter
    numbers = np.linspace(-1, 1, PIECE, dtype=np.float32)
    found: list[float] = []
    end = time.perf_counter() + BURST_S
    while not found or time.perf_counter() < end:
        begun = clock()
        for _ in range(TIMES_PER_BURST):
            np.exp(numbers)
        found.append(clock() - begun)
    return max(min(found), 1e-9)


def _lost_share() -> float:
    """Return the share of its time in which a loop did not run."""
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < LOOP_S:
        sum(range(1000))
    wall = time.perf_counter() - begun
    return min(1.0, max(0.0, 1 - (time.process_time() - used) / wall))
