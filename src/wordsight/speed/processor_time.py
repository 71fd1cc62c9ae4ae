"""How much processor time other programs use, as Linux counts it.

Only the cores that this process may run on are looked at: what happens on the others does not take
its time. The time of this process and of all its descendants, alive or ended, is not other's time.
"""

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PARENT, OWN_TIMES = 1, slice(11, 15)
"""Fields of /proc/PID/stat behind the name: the parent; user and system time, of itself and of its
ended children."""
BUSY = (0, 1, 2, 5, 6)
"""Fields of a core in /proc/stat: user, nice, system, interrupts; not idle, nor waiting for disks.
"""
STOLEN = 7


@dataclass(frozen=True, slots=True)
class Reading:
    """Processor seconds since the machine was started."""

    others: float
    """Used by programs that are not ours, on the cores that we may use."""
    stolen: float
    """Taken by the host of this virtual machine, on the same cores."""


def read_processor_time(proc: Path = PROC) -> Reading | None:
    """Return what others have used so far, or None where the system does not say it this way."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        lines = (proc / "stat").read_text(encoding="ascii").splitlines()
        own = _of_tree(proc, os.getpid())
        cores = [line.split() for line in lines if line.startswith("cpu")]
        busy = stolen = 0
        for name, *fields in cores:
            if name in names:
                busy += sum(int(fields[place]) for place in BUSY)
                stolen += int(fields[STOLEN])
    except (OSError, ValueError, IndexError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return Reading(others=(busy - own) / ticks, stolen=stolen / ticks)


def _of_tree(proc: Path, root: int) -> int:
    """Return the ticks that a process and all its descendants have used.

    Raises:
        ValueError: if the process is not listed.
    """
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        fields = text[text.rindex(")") + 1 :].split()  # a name may hold spaces and brackets
        number = int(entry.name)
        children.setdefault(int(fields[PARENT]), []).append(number)
        ticks[number] = sum(map(int, fields[OWN_TIMES]))
    if root not in ticks:
        raise ValueError(f"process {root} is not listed in {proc}")
    total, waiting = 0, [root]
    while waiting:
        number = waiting.pop()
        total += ticks[number]
        waiting += children.get(number, [])
    return total
