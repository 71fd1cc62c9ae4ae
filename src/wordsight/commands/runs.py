"""Training runs side by side; nothing heavy is loaded, and nothing is changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.config import to_dict
from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.train_findings import last_loss
from wordsight.report.train_run import METRICS, TrainRun, is_train_run, read_train_run

SHORT = 8
"""Digits of a fingerprint that people see."""
SHOWN_ALREADY = ("architecture",)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run among others."""

    name: str
    """Where it lies, below the folder that was searched."""
    architecture: str
    is_finished: bool
    steps: int
    loss: float
    """Mean of the last steps."""
    best: Mapping[str, Estimate]
    differs: Mapping[str, str]
    """Settings that are not the same in all runs."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a program."""
        return {
            "run": self.name,
            "architecture": self.architecture,
            "is_finished": self.is_finished,
            "steps": self.steps,
            "loss": self.loss,
            "best": {name: to_dict(value) for name, value in self.best.items()},
            "differs": dict(self.differs),
        }


def runs(folder: Path) -> list[RunRow]:
    """Find all runs of `wordsight train` below a folder, by name, and compare them.

    Raises:
        InputError: if there is no such folder, or a run in it is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    places = sorted(path.parent for path in folder.rglob(METRICS))
    found = [read_train_run(place) for place in places if is_train_run(place) and _has_begun(place)]
    differing = _differing([run.config for run in found])
    return [_row(run, folder, differing) for run in found]


def _has_begun(place: Path) -> bool:
    """A run that was killed in its first step has said nothing yet."""
    return b"\n" in (place / METRICS).read_bytes()


def _row(run: TrainRun, folder: Path, differing: Sequence[str]) -> RunRow:
    name = run.folder.relative_to(folder)
    return RunRow(
        folder.resolve().name if name == Path() else str(name),
        _architecture(run.config),
        run.is_finished,
        run.steps[-1].step,
        last_loss(run),
        run.best,
        {name: _shown(name, run.config.get(name)) for name in differing},
    )


def _architecture(config: Mapping[str, Any]) -> str:
    return str(config.get("start") or config["architecture"])


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for config in configs for name in config)
    return [
        name
        for name in names
        if name not in SHOWN_ALREADY
        and len({json.dumps(config.get(name), sort_keys=True) for config in configs}) > 1
    ]


def _shown(name: str, value: Any) -> str:
    if name == "data":
        return str(value)[:SHORT]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
