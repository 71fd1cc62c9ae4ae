"""What an evaluation found: one `Result` for a model, a data set and a method, as JSON.

Beside it lie the predictions, a JSON object a line, so that anything else can be computed from
them later: other metrics, confusions, paired comparisons.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wordsight.config import from_dict, to_dict
from wordsight.errors import ConfigError, DataError
from wordsight.files import atomic_write, sha256, write_text
from wordsight.metrics import Estimate

SUFFIX = ".json"
PREDICTIONS_SUFFIX = ".predictions.jsonl"
FOLDER, INDEX = "results", "evaluation.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A picture that was left out, and why."""

    key: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How good a model was on a data set by one method."""

    suite: str
    set: str
    """Name of the data set."""
    source: str = ""
    """Where the data set was read from."""
    model: str
    """Name of the model, as the user gave it."""
    method: str
    """"zero-shot", "few-shot", "linear-probe", "image-to-text" or "text-to-image"."""
    metric: str
    """One of the five kinds of `wordsight.data.labelled`, or "recall_at_1"."""
    estimate: Estimate
    n: int
    """Pictures measured on; sentences for "text-to-image"."""
    shots: int | None = None
    """Examples of each class, for "few-shot"."""
    seed: int | None = None
    """Which examples were drawn, for "few-shot"."""
    algorithm: str = ""
    """What the method settled on, such as the few-shot method that "auto" chose."""
    others: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    """Other metrics of the same predictions, by name."""
    per_class: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    """Share of the pictures of each class that is predicted right."""
    classes: tuple[str, ...] = ()
    """In their order; empty for retrieval."""
    positive: tuple[str, ...] = ()
    """The classes that an inspection must find."""
    targets: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the user wants to reach, as he wrote it."""
    chance: float | None = None
    """What guessing would get, where that can be said."""
    predictions_file: str
    """Name of the file of predictions, which lies beside this one."""
    predictions_sha256: str
    asked: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """What the model read of each class."""
    unread: tuple[str, ...] = ()
    """Sentences among these that its tokenizer spells out, as if they were in no language."""
    unreadable: tuple[Unreadable, ...] = ()
    remarks: tuple[str, ...] = ()
    """What a reader should know, such as classes that no picture has."""
    seconds: float
    """Spent on this result; vectors that were cached cost nothing."""
    identity: dict[str, str] = field(default_factory=dict[str, str])
    """Digests of model, data and settings: another run with the same ones need not be repeated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What was said of one picture (or of one sentence, for "text-to-image")."""

    key: str
    truth: tuple[str, ...]
    """Its classes; for retrieval the keys of all that would have been right."""
    group: str = ""
    """What it shares with other pictures, such as the thing that they show; "" for nothing."""
    guess: str
    """The class with the best score; for retrieval the key that was found first."""
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """Probability by class, of all classes where there are few, else of the best and the true ones;
    for retrieval the cosines of the best keys."""
    margin: float | None = None
    """Where some classes are defects, how far the score of a defect lies above the line: 0 or more
    means that an inspection would stop it. Pictures of the same part never drew the line."""
    rank: float | None = None
    """For retrieval, the place of the best right one, from 1; ties stand in the middle."""

    @property
    def is_correct(self) -> bool:
        """Whether the guess is one of the true classes."""
        return self.guess in self.truth


def write_result(path: Path, result: Result) -> None:
    """Write a result in one step."""
    write_text(path, json.dumps(to_dict(result), indent=1, ensure_ascii=False) + "\n")


def read_result(path: Path) -> Result:
    """Read what `write_result` wrote.

    Raises:
        DataError: if it is damaged.
        ConfigError: if it holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read: {error}", hint="remove it, and run the evaluation again"
        ) from None
    if not isinstance(values, dict):
        raise DataError(f"{path}: expected a JSON object")
    return from_dict(Result, values, where=str(path))  # pyright: ignore[reportUnknownArgumentType]


def write_index(folder: Path, suite: str, paths: Sequence[Path]) -> None:
    """Say which results belong to the last run; others may lie beside them from earlier ones."""
    names = [path.relative_to(folder).as_posix() for path in paths]
    write_text(folder / INDEX, json.dumps({"suite": suite, "results": names}, indent=1) + "\n")


def read_results(folder: Path) -> list[Result]:
    """Read the results of an evaluation, in its order.

    Raises:
        DataError: if there is none, or one is damaged.
        ConfigError: if a file holds something else.
    """
    index = folder / INDEX
    try:
        names: list[str] = json.loads(index.read_text(encoding="utf-8"))["results"]
        paths = [folder / name for name in names]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{folder}: holds no evaluation that came to its end: {error}",
            hint="run wordsight evaluate again: what is done is kept",
        ) from None
    return [read_result(path) for path in paths]


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> str:
    """Write predictions in one step, one a line, and return the SHA-256 of the file."""
    with atomic_write(path) as file:
        for prediction in predictions:
            line = json.dumps(to_dict(prediction), ensure_ascii=False)
            file.write(line.encode("utf-8", "backslashreplace") + b"\n")
    return sha256(path)


def read_predictions(path: Path) -> list[Prediction]:
    """Read what `write_predictions` wrote.

    Raises:
        DataError: if it is damaged, naming the line.
    """
    found: list[Prediction] = []
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                found.append(from_dict(Prediction, json.loads(line), where=f"line {number}"))
    except (OSError, ValueError, TypeError, RecursionError, ConfigError) as error:
        raise DataError(
            f"{path}: line {len(found) + 1} cannot be read: {error}",
            hint="remove the file, and run the evaluation again",
        ) from None
    return found


def predictions_path(folder: Path, result: Result) -> Path:
    """Return where the predictions of a result lie in the folder of an evaluation."""
    return result_folder(folder, result.set, result.model) / result.predictions_file


def result_folder(folder: Path, set_name: str, model_name: str) -> Path:
    """Return the folder of the results of a model on a data set."""
    return folder / FOLDER / file_name(set_name) / file_name(model_name)


def file_name(name: str) -> str:
    """Return a name that any file system can hold, from one that a person gave."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return kept.strip("-.") or "-"
