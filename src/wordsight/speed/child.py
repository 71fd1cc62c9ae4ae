"""Modules of this package that run in a process of their own, and answer in lines."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from wordsight.errors import MissingError

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE_S = 300.0
MOST_SHOWN = 300


class Line(NamedTuple):
    """A line that a process printed."""

    seconds: float
    """Since the process was started."""
    text: str


def run_module(module: str, job: Mapping[str, Any], *, threads: int | None = None) -> list[Line]:
    """Run `python -m MODULE` with a job on its standard input, and return what it printed.

    Args:
        module: of this package; it reads one JSON object.
        job: plain values.
        threads: what libraries shall take as the number of threads, where they ask the environment.

    Raises:
        MissingError: if the process dies, or gives no answer in five minutes; with the last line of
            what it complained of.
    """
    # -P: nothing that lies in the current folder is imported.
    command = [sys.executable, "-P", "-m", module]
    lines: list[Line] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of this package
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
            env=_environment(threads),
        )
        patience = threading.Timer(PATIENCE_S, process.kill)
        patience.start()
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            for text in process.stdout:
                lines.append(Line(time.perf_counter() - begun, text))
        patience.cancel()
        complaints.seek(0)
        said = complaints.read().strip().splitlines()
    if process.returncode != 0 or not lines:
        last = said[-1] if said else "no word of why"
        raise MissingError(
            f"{module} ended with code {process.returncode}: {last[:MOST_SHOWN]}",
            hint="wordsight doctor says which engines work here",
        )
    return lines


def read_job() -> dict[str, Any]:
    """Return what the parent process wants."""
    return json.load(sys.stdin)


def answer(values: object) -> None:
    """Print one line of JSON, at once."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _environment(threads: int | None) -> dict[str, str]:
    """Return this process's environment, with which no child asks a network for anything."""
    settings = {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    if threads is not None:
        settings |= dict.fromkeys(THREAD_SETTINGS, str(threads))
    return {**os.environ, **settings}
