"""What an `align` run left in its folder, read back with types.

run/
  config.json        every setting, resolved
  environment.json   versions, processor, threads
  metrics.jsonl      one object an epoch
  results.json       counts, scores before and after, findings, samples
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.run_files import check_estimate, read_file, read_table, typed

_HINT = "the run is unfinished or damaged; run `wordsight align` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One line of metrics.jsonl; a loss that is null or NaN leaves a gap in its curve."""

    epoch: int
    train_loss: float | None = None
    val_loss: float | None = None
    scale: float | None = None
    val_image_to_text_r1: float | None = None
    val_text_to_image_r1: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many of what the run learnt from and was measured on."""

    train: int
    held_out: int
    pictures: int
    sentences: int
    bad_rows: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """One measure on the held-out pairs, before training (if there was anything) and after."""

    name: str
    after: Estimate
    before: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a check noticed; `stop` means that the scores cannot be trusted."""

    level: Literal["ok", "warn", "stop"]
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """A sentence the model ranked high for a picture."""

    text: str
    score: float
    is_match: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A held-out picture, its true sentences, and the sentences ranked highest."""

    image: str
    truth: tuple[str, ...]
    best: tuple[Match, ...]
    name: str = ""
    """What the picture is called where it came from; like its file if empty."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the run was."""

    pictures_per_second: float
    cache_hits: int
    cache_misses: int
    train_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The content of results.json; the first score is the headline."""

    pairs: Pairs
    scores: tuple[Score, ...]
    best_epoch: int
    stopped_early: bool
    speed: Speed
    findings: tuple[Finding, ...] = ()
    leaks: tuple[tuple[str, str], ...] = ()
    samples: tuple[Sample, ...] = ()
    mistakes: tuple[Sample, ...] = ()
    token_meter: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run and the folder it lies in."""

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    epochs: tuple[Epoch, ...]
    results: Results


def read_run(folder: Path) -> Run:
    """Read the four files of a run; keys that a later version added are left aside.

    Raises:
        InputError: naming the file that is missing, damaged, or not what a run writes.
    """
    path = folder / "results.json"
    results = typed(Results, _table(path), where=str(path), hint=_HINT)
    if not results.scores:
        raise InputError(f"{path}: holds no scores", hint=_HINT)
    for score in results.scores:
        for estimate in (score.after, score.before):
            if estimate is not None:
                check_estimate(estimate, where=f"{path}: {score.name}", hint=_HINT)
    config, environment = (_table(folder / n) for n in ("config.json", "environment.json"))
    return Run(folder, config, environment, _epochs(folder / "metrics.jsonl"), results)


def _table(path: Path) -> dict[str, Any]:
    return read_table(read_file(path, hint=_HINT), where=str(path), hint=_HINT)


def _epochs(path: Path) -> tuple[Epoch, ...]:
    epochs: list[Epoch] = []
    for number, line in enumerate(read_file(path, hint=_HINT).splitlines(), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            values = read_table(line, where=where, hint=_HINT)
            epochs.append(typed(Epoch, values, where=where, hint=_HINT))
    if not epochs:
        raise InputError(f"{path}: holds no epochs", hint=_HINT)
    return tuple(epochs)
