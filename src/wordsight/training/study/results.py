"""What a study found, as results.json holds it.

study/
  config.json                 every setting
  tokenizer.json              the vocabulary all objectives read with
  language_model/             and likewise bag_of_words, bag_contrast, contrast
    curve.json                its points; there once it is finished
    checkpoints/              what a killed study goes on from
    seconds.json              time spent until each checkpoint
  results.json                all of it together
  study.html                  the plot
"""

import json
from dataclasses import dataclass
from pathlib import Path

from wordsight.config import from_dict, to_dict
from wordsight.errors import DataError
from wordsight.files import write_text
from wordsight.metrics import Estimate

RESULTS, CURVE = "results.json", "curve.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """How good an objective was after some of its steps."""

    step: int
    samples: int
    """Pairs seen."""
    operations: float
    """Additions and multiplications spent on them."""
    loss: float
    """Of the last step; not to be compared between objectives."""
    accuracy: Estimate
    """Zero-shot, on pictures of classes by their names."""
    seconds: float = 0.0
    """Spent on learning, evaluations left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """What became of one objective."""

    objective: str
    parameters: int
    operations_per_sample: int
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyResults:
    """The content of results.json."""

    examples: int
    """Pictures learnt from."""
    classes: int
    """Class names told apart; guessing is right once in so many."""
    pictures: int
    """Pictures measured on."""
    architecture: str
    seed: int
    batch_size: int
    curves: tuple[Curve, ...]


def write_results(path: Path, results: StudyResults | Curve) -> None:
    """Write results in one step."""
    write_text(path, json.dumps(to_dict(results), indent=1) + "\n")


def read_results(path: Path) -> StudyResults:
    """Read what `write_results` wrote.

    Raises:
        DataError: if it is damaged.
        ConfigError: if it holds something else.
    """
    return from_dict(StudyResults, _values(path), where=str(path))


def read_curve(path: Path) -> Curve:
    """Read the points of a finished objective; errors are those of `read_results`."""
    return from_dict(Curve, _values(path), where=str(path))


def _values(path: Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read: {error}", hint="remove it, and run again"
        ) from None
