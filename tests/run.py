"""Run the whole suite in several processes, as many at a time as there are cores.

In one process, with every library of the field loaded, a start of another program ended in a crash
outside Python once in a few runs; and tests that fork want a process in which torch has not learnt
anything yet (docs/decisions.md). What a process says is printed when it ends; the last line is the
sum of all.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tally import FILE, circumstances

ROOT = Path(__file__).resolve().parents[1]
OWN_PROCESS = ("training",)
"""Folders of which every file has a process of its own."""
TOGETHER = (
    ("checkpoints",),
    ("model", "text", "images"),
    ("commands", "demo", "engine"),
    ("data", "metrics", "transfer"),
    ("evaluation", "report"),
)
SEED = 2021
"""Of the order of tests and of what they draw: what fails here fails again. Soak runs draw anew."""
EMPTY = 5
"""Exit code of pytest where every test was deselected."""


def groups() -> list[list[str]]:
    """Return the arguments of every process, what takes long first."""
    named = {*OWN_PROCESS, *(name for group in TOGETHER for name in group)}
    rest = ["tests", *(f"--ignore=tests/{name}" for name in sorted(named))]
    alone = [
        [str(path.relative_to(ROOT))]
        for name in OWN_PROCESS
        for path in sorted((ROOT / "tests" / name).glob("test_*.py"))
    ]
    return [rest, *([f"tests/{name}" for name in group] for group in TOGETHER), *alone]


def run(arguments: list[str], tally: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not soak", f"--randomly-seed={SEED}", *arguments],
        cwd=ROOT,
        env={**environment, FILE: str(tally)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def main() -> int:
    began = time.monotonic()
    environment = {"OMP_NUM_THREADS": "1", **os.environ}  # the cores are taken by processes
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {
            pool.submit(run, arguments, Path(folder) / f"{number}.json", environment): arguments
            for number, arguments in enumerate(groups())
        }
        for future in as_completed(waiting):
            code, said = future.result()
            name = " ".join(a for a in waiting[future] if not a.startswith("-"))
            print(f"== {name}\n{said.rstrip()}\n", flush=True)
            if code not in (0, EMPTY):
                failed.append(f"{name} (exit code {code})")
        tried: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        for path in Path(folder).glob("*.json"):
            found = json.loads(path.read_text())
            tried.update(found["tried"])
            outcomes.update(found["outcomes"])
    minutes = (time.monotonic() - began) / 60
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    print(f"{', '.join(f'{n:,} {what}' for what, n in outcomes.items())} in {minutes:.1f} minutes")
    print(f"tried: {', '.join(f'{n:,} {what}' for what, n in sorted(tried.items()))}")
    if importlib.util.find_spec("torch"):
        import torch  # noqa: F401 - says whether there is a GPU
    print(circumstances())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
