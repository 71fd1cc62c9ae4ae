"""Whether an engine really works here: it is started in a process of its own, and run once.

A native library that does not fit this machine does not raise, it kills its process. So each
engine is tried in a child, `python -m wordsight.commands.trial NAME`, which prints one line of
JSON; a dead or silent child is an answer too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wordsight.config import from_dict
from wordsight.errors import BundleError, WordsightError
from wordsight.packages import require

ENGINES = ("onnxruntime", "openvino", "torch")
PATIENCE_SECONDS = 120.0
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How an engine did; `error` is empty if it works."""

    engine: str
    version: str = ""
    seconds: float = 0.0
    """To open the shipped model and embed one picture and one sentence."""
    devices: tuple[str, ...] = ()
    """GPUs that torch can use."""
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Child:
    engine: str
    process: "subprocess.Popen[str]" = field(repr=False)


def try_engines(
    names: Sequence[str], *, patience_seconds: float = PATIENCE_SECONDS
) -> dict[str, Trial]:
    """Try engines side by side; none of them can hurt this process."""
    children: list[_Child] = []
    for name in names:
        # -P: nothing that lies in the current folder is imported.
        command = [sys.executable, "-P", "-m", "wordsight.commands.trial", name]
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of this package
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        children.append(_Child(engine=name, process=process))
    deadline = time.monotonic() + patience_seconds
    return {child.engine: _outcome(child, deadline) for child in children}


def _environment() -> dict[str, str]:
    """Return this process's environment, with which no child asks a network for anything."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}


def _outcome(child: _Child, deadline: float) -> Trial:
    process = child.process
    try:
        out, complaints = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Trial(engine=child.engine, error="gave no answer in time")
    if process.returncode != 0:
        last = next(reversed(complaints.strip().splitlines()), "")
        return Trial(
            engine=child.engine, error=f"ended with code {process.returncode}: {last}".strip(": ")
        )
    answer: Mapping[str, Any] = json.loads(out.splitlines()[-1])
    return from_dict(Trial, {"engine": child.engine, **answer}, where=child.engine)


def try_engine(name: str) -> dict[str, Any]:
    """Run an engine once in this process, and return what a `Trial` says of it.

    Raises:
        WordsightError: if it does not work.
    """
    begun = time.perf_counter()
    number = str(require(name, extra=name).__version__).split("-")[0]  # OpenVINO adds its commit
    devices = _try_torch() if name == "torch" else _try_graphs(name)
    return {
        "version": number,
        "seconds": round(time.perf_counter() - begun, 2),
        "devices": devices,
    }


def _try_graphs(name: str) -> list[str]:
    """Embed one picture and one sentence with the shipped model."""
    from wordsight.engine import load

    model = load("mini", engine=name)
    picture = np.zeros((8, 8, 3), np.uint8)
    vectors = np.concatenate([model.encode_image([picture]), model.encode_text(["a test"])])
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1, atol=UNIT_TOLERANCE):
        raise BundleError(f"gives vectors of length {lengths}, expected 1")
    return []


def _try_torch() -> list[str]:
    """Multiply two matrices, and list the GPUs."""
    torch = require("torch", extra="torch")
    product = torch.ones(64, 64) @ torch.ones(64, 64)
    if float(product.sum()) != 64**3:
        raise BundleError("computes a matrix product wrongly")
    devices: list[str] = []
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        devices.append(f"{found.name}, {found.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        devices.append("Apple GPU (mps)")
    return devices


def main(name: str) -> int:
    """Try one engine and print the answer as one line of JSON."""
    try:
        answer = try_engine(name)
    except WordsightError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
