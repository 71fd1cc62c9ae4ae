"""Sort pictures by what is said of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.prompts import check_template
from wordsight.config import load_toml
from wordsight.engine.model import Model, Progress
from wordsight.errors import ConfigError, ImageError, InputError
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.contact_sheet import SheetRow, write_contact_sheet
from wordsight.transfer.class_vectors import Classes, class_vectors, softmax

MAX_PICTURES_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of one picture; `error` is set if it could not be read."""

    path: Path
    label: str = ""
    score: float = 0.0
    scores: tuple[tuple[str, float], ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the object of one JSON line."""
        if self.error:
            return {"path": str(self.path), "error": self.error}
        return {
            "path": str(self.path),
            "label": self.label,
            "score": self.score,
            "scores": dict(self.scores),
        }


def classify(
    model: Model,
    paths: Sequence[Path],
    classes: Classes,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide for every picture which class it fits best; scores are probabilities and add up to 1.

    A picture that cannot be read gets its reason instead, and costs nothing but its own line.

    Raises:
        InputError: if classes or templates cannot be used.
    """
    found = class_vectors(model, classes, templates=templates, language=language)
    encoded = model.encode_image_files(paths, progress=progress)
    probabilities = softmax(model.logit_scale * found.cosines(encoded.embeddings))
    decisions = {
        place: _decision(paths[place], found.names, row)
        for place, row in zip(encoded.indices, probabilities, strict=True)
    }
    decisions |= {place: _failure(paths[place], error) for place, error in encoded.errors}
    return [decisions[place] for place in range(len(paths))]


def _decision(path: Path, names: Sequence[str], row: NDArray[np.floating]) -> Decision:
    best = int(row.argmax())
    scores = tuple((name, float(score)) for name, score in zip(names, row, strict=True))
    return Decision(path, names[best], float(row[best]), scores)


def _failure(path: Path, error: ImageError) -> Decision:
    return Decision(path, error=str(error))


def read_classes(labels: str | None, file: Path | None) -> Classes:
    """Take classes from "cat,dog", or from a TOML file with sentences:

        [classes]
        crack = ["a thin dark crack", "a broken line"]
        sound = ["a smooth surface"]

    Raises:
        InputError: if there is neither, or both.
        ConfigError: if the file is not of that form.
    """
    if (labels is None) == (file is None):
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE",
            hint="a FILE may hold several sentences per class",
        )
    if labels is not None:
        names = [name.strip() for name in labels.split(",")]
        return [name for name in names if name]
    assert file is not None
    table = load_toml(file).get("classes")
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: needs a table [classes]")
    return {
        str(name): _sentences(texts, where=f"{file}: class {name!r}")
        for name, texts in cast(dict[str, object], table).items()
    }


def _sentences(texts: object, *, where: str) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    entries = cast(list[object], texts) if isinstance(texts, list) else [None]
    sentences = [entry for entry in entries if isinstance(entry, str)]
    if len(sentences) < len(entries):
        raise ConfigError(f"{where} needs a sentence, or a list of sentences")
    return sentences


def read_templates(file: Path) -> list[str]:
    """Read templates: one per line of a text file, or templates = [...] of a TOML file.

    Raises:
        ConfigError: if it cannot be read or holds none.
        InputError: if one has no place for the class name.
    """
    if file.suffix.lower() == ".toml":
        entries: object = load_toml(file).get("templates")
    else:
        try:
            lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read as UTF-8 text: {error}") from None
        entries = [line for line in lines if line]
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{file}: holds no templates", hint='one per line: "a photo of a {}."')
    return [check_template(entry) for entry in cast(list[object], entries)]


def write_sheet(path: Path, decisions: Sequence[Decision], phrases: Phrases) -> None:
    """Write the contact sheet: one HTML page with pictures, labels and scores."""
    labels = [name for name, _ in next((d.scores for d in decisions if d.scores), ())]
    rows = [_row(d, place) for place, d in enumerate(decisions)]
    write_contact_sheet(
        path, rows, title=phrases("terminal.sheet_title"), phrases=phrases, labels=labels
    )


def _row(decision: Decision, place: int) -> SheetRow:
    if decision.error:
        return SheetRow(path=str(decision.path), image=None, reason=decision.error)
    image = data_uri(open_image(decision.path)) if place < MAX_PICTURES_SHOWN else None
    top = sorted(decision.scores, key=lambda item: -item[1])
    return SheetRow(path=str(decision.path), image=image, label=decision.label, scores=tuple(top))
