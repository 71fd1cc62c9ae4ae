"""What a `train` run left in its folder, finished or not, read back with types.

run/
  config.json        every setting, resolved
  environment.json   versions, processor
  metrics.jsonl      one object a step and one an evaluation
  samples.json       held-out pictures and the sentences ranked highest; when the run is over
  findings.json      what the training doctor said
  *rejected.jsonl    what could not be read
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.run import Finding, Sample
from wordsight.report.run_files import check_estimate, read_file, read_table, typed

METRICS, CONFIG = "metrics.jsonl", "config.json"
_HINT = "the run is damaged; run the same `wordsight train` again to go on from its checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was said of a step."""

    step: int
    loss: float
    scale: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured after a step."""

    step: int
    scores: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An example that could not be used."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrainRun:
    """A run and the folder it lies in."""

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    steps: tuple[Step, ...]
    evaluations: tuple[Evaluation, ...]
    samples: tuple[Sample, ...]
    rejected: tuple[Rejected, ...]
    findings: tuple[Finding, ...]
    is_finished: bool

    @property
    def best(self) -> dict[str, Estimate]:
        """The highest value of every measure; the first of equal ones."""
        found: dict[str, Estimate] = {}
        for evaluation in self.evaluations:
            for name, value in evaluation.scores.items():
                if name not in found or value.value > found[name].value:
                    found[name] = value
        return found


def is_train_run(folder: Path) -> bool:
    """Say whether a folder looks like what `wordsight train` writes."""
    if not (folder / METRICS).is_file():
        return False
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"architecture", "batch_size", "data"} <= config.keys()


def read_train_run(folder: Path) -> TrainRun:
    """Read the files of a run; lines and keys that a later version added are left aside.

    Raises:
        InputError: naming the file that is missing, damaged, or not what a run writes.
    """
    config, environment = (_object(folder / n) for n in (CONFIG, "environment.json"))
    steps: list[Step] = []
    evaluations: list[Evaluation] = []
    for where, values in _lines(folder / METRICS):
        if "loss" in values:
            steps.append(typed(Step, values, where=where, hint=_HINT))
        elif "scores" in values:
            evaluation = typed(Evaluation, values, where=where, hint=_HINT)
            for name, value in evaluation.scores.items():
                check_estimate(value, where=f"{where}: {name}", hint=_HINT)
            evaluations.append(evaluation)
    if not steps:
        raise InputError(f"{folder / METRICS}: holds no steps", hint=_HINT)
    return TrainRun(
        folder,
        config,
        environment,
        tuple(steps),
        tuple(evaluations),
        _samples(folder / "samples.json"),
        tuple(_rejected(folder)),
        tuple(_findings(folder / "findings.json")),
        (folder / "model" / "SHA256SUMS").is_file(),
    )


def _object(path: Path) -> dict[str, Any]:
    return read_table(read_file(path, hint=_HINT), where=str(path), hint=_HINT)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line that a killed run did not end is left out: it will be written again."""
    *whole, _ = read_file(path, hint=_HINT).split("\n")
    for number, line in enumerate(whole, start=1):
        where = f"{path}: line {number}"
        yield where, read_table(line, where=where, hint=_HINT)


def _samples(path: Path) -> tuple[Sample, ...]:
    return tuple(
        typed(Sample, values, where=where, hint=_HINT) for where, values in _list_of_objects(path)
    )


def _findings(path: Path) -> Iterator[Finding]:
    for where, values in _list_of_objects(path):
        texts = [str(values[name]) for name in ("text", "advice") if values.get(name)]
        content = {"level": values.get("level"), "text": " ".join(texts)}
        yield typed(Finding, content, where=where, hint=_HINT)


def _list_of_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files that only runs of some kinds have: nothing comes of one that is not there."""
    if not path.exists():
        return
    where = str(path)
    table = read_table(f'{{"list": {read_file(path, hint=_HINT)}}}', where=where, hint=_HINT)
    if not isinstance(table["list"], list):
        raise InputError(f"{where}: expected a list of objects", hint=_HINT)
    for number, item in enumerate(cast(list[Any], table["list"]), start=1):
        if not isinstance(item, dict):
            raise InputError(f"{where}: expected a list of objects", hint=_HINT)
        yield f"{where}: {number}", cast(dict[str, Any], item)


def _rejected(folder: Path) -> Iterator[Rejected]:
    seen: set[str] = set()  # a run that was taken up again lists some twice
    for path in sorted(folder.glob("*rejected.jsonl")):
        for where, values in _lines(path):
            name = values.get("name") or f"{values.get('source')}: {values.get('row')}"
            if str(name) not in seen:
                seen.add(str(name))
                content = {"name": str(name), "reason": values.get("reason", "")}
                yield typed(Rejected, content, where=where, hint=_HINT)
