"""The gate of every benchmark: was the machine quiet while it ran?

    QUIET_WAIT=600 python benchmarks/clip_engines.py   # waits for quiet, ten minutes at most

The machine is watched from before a benchmark until after it, and the verdict is the last line.
Figures of a disturbed run are not to be quoted.
"""

import argparse
import os
from collections.abc import Generator
from contextlib import contextmanager

from wordsight.speed.quiet import Watch

WAIT, WATCHED = "QUIET_WAIT", "QUIET_WATCHED"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--wait`, for benchmarks that hand it to `watched`."""
    parser.add_argument("--wait", type=float, help="seconds to wait for a quiet moment at most")


@contextmanager
def watched(wait_s: float | None = None) -> Generator[Watch]:
    """Watch while the body runs; `glance` at the watch between two rounds, where that is easy.

    A process that a benchmark starts says nothing, as it is watched by its parent.
    """
    is_child = WATCHED in os.environ
    most = float(os.environ.get(WAIT, "0")) if wait_s is None else wait_s
    watch = Watch(wait_s=0 if is_child else most)
    os.environ[WATCHED] = "1"
    yield watch
    if not is_child:
        print(f"machine {watch.verdict()}", flush=True)
