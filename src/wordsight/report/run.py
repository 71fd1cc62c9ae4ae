"""What an `align` run left in its folder, read back with types.

run/
  config.json        every setting, resolved
  environment.json   versions, processor, threads
  metrics.jsonl      one object an epoch
  results.json       counts, scores before and after, findings, samples
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from wordsight.config import from_dict
from wordsight.errors import ConfigError, InputError
from wordsight.metrics import Estimate

T = TypeVar("T")

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
    results = _typed(Results, _table(_text(path), where=str(path)), where=str(path))
    if not results.scores:
        raise InputError(f"{path}: holds no scores", hint=_HINT)
    for score in results.scores:
        for estimate in (score.after, score.before):
            if estimate is not None:
                _check_estimate(estimate, where=f"{path}: {score.name}")
    config, environment = (
        _table(_text(folder / name), where=str(folder / name))
        for name in ("config.json", "environment.json")
    )
    return Run(folder, config, environment, _epochs(folder / "metrics.jsonl"), results)


def _epochs(path: Path) -> tuple[Epoch, ...]:
    epochs: list[Epoch] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            epochs.append(_typed(Epoch, _table(line, where=where), where=where))
    if not epochs:
        raise InputError(f"{path}: holds no epochs", hint=_HINT)
    return tuple(epochs)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", hint=_HINT) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error.reason}", hint=_HINT) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _table(text: str, *, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}", hint=_HINT) from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {str(value)[:60]}", hint=_HINT)
    return cast(dict[str, Any], value)


def _typed(kind: type[T], values: Mapping[str, Any], *, where: str) -> T:
    known = {field.name for field in fields(cast(Any, kind))}
    try:
        return from_dict(kind, {k: v for k, v in values.items() if k in known}, where=where)
    except ConfigError as error:
        raise InputError(str(error), hint=_HINT) from None


def _check_estimate(estimate: Estimate, *, where: str) -> None:
    low, value, high = estimate.low, estimate.value, estimate.high
    if not (all(map(math.isfinite, (low, value, high))) and 0 <= low <= value <= high <= 1):
        raise InputError(
            f"{where}: expected 0 <= low <= value <= high <= 1, got {low}, {value}, {high}",
            hint=_HINT,
        )
