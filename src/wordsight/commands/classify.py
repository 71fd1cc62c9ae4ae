"""Sort pictures by what is said of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.bundle.classifier import BundleClassifier
from wordsight.config import load_toml
from wordsight.data.class_file import ClassFile, read_class_file
from wordsight.engine.model import Model, Progress
from wordsight.errors import ConfigError, ImageError, InputError
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.contact_sheet import SheetRow, write_contact_sheet
from wordsight.text.templates import check_template
from wordsight.transfer.class_vectors import Classes, class_vectors, softmax
from wordsight.transfer.hierarchy import Hierarchy

MAX_PICTURES_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of one picture; `error` is set if it could not be read.

    The label is a class, a group of [hierarchy], or empty where none fits.
    """

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
            "label": self.label or None,
            "score": self.score,
            "scores": dict(self.scores),
        }


def classify(
    model: Model,
    paths: Sequence[Path],
    classes: Classes | ClassFile,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    none_below: float | None = None,
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide for every picture which class it fits best; scores are probabilities and add up to 1.

    A picture that cannot be read gets its reason instead, and costs nothing but its own line.
    Sentences about "none of these" of a class file take their share of the 1; where theirs is the
    largest, or the best class and every group of [hierarchy] is less probable than `none_below`,
    the label is empty.

    Raises:
        InputError: if classes, hierarchy, templates or `none_below` cannot be used.
    """
    _check_none_below(none_below)
    words = classes if isinstance(classes, ClassFile) else None
    found = class_vectors(
        model,
        words.sentences(language) if words else cast(Classes, classes),
        templates=templates or (words.templates_in(language) if words else None),
        language=language,
    )
    tree = Hierarchy(words.hierarchy if words else {}, found.names)
    none = words.none_in(language) if words else []
    none_vectors = model.encode_text(none)
    encoded = model.encode_image_files(paths, progress=progress)
    columns = found.cosines(encoded.embeddings)
    if none:
        of_none = (encoded.embeddings @ none_vectors.T).max(axis=1, keepdims=True)
        columns = np.concatenate([columns, of_none], axis=1)
    probabilities = softmax(model.logit_scale * columns)
    decisions = {
        place: _choose(paths[place], row, tree, none_below)
        for place, row in zip(encoded.indices, probabilities, strict=True)
    }
    decisions |= {place: _failure(paths[place], error) for place, error in encoded.errors}
    return [decisions[place] for place in range(len(paths))]


def _check_none_below(none_below: float | None) -> None:
    if none_below is not None and not 0 < none_below < 1:
        raise InputError(
            f"--none-below must lie between 0 and 1, got {none_below}",
            hint="0.5 gives a label only to pictures that are more likely of it than not",
        )


def _choose(
    path: Path, row: NDArray[np.floating], tree: Hierarchy, none_below: float | None
) -> Decision:
    """Take the best class; where it is not probable enough, a group or nothing.

    Args:
        path: of the picture.
        row: probabilities of the classes, and perhaps that of "none of these" after them.
        tree: over the classes.
        none_below: least probability of a label.
    """
    of_classes, of_none = row[: len(tree.classes)], float(row[len(tree.classes) :].sum())
    decision = _decision(path, tree.classes, of_classes)
    label, chance = decision.label, decision.score
    if none_below is not None and chance < none_below:
        label = tree.deepest(of_classes[None], none_below)[0] or ""
        own = [tree.contains(label, name) for name in tree.classes]
        chance = float(of_classes[own].sum())
    return replace(decision, label=label if chance >= of_none else "")


def classify_learnt(
    model: Model,
    paths: Sequence[Path],
    classifier: BundleClassifier,
    *,
    none_below: float | None = None,
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide by a classifier that was learnt on the model (`wordsight adapt`).

    A picture whose best class is less probable than `none_below`, or than the classifier's own
    threshold if none is given, gets no label.
    """
    _check_none_below(none_below)
    encoded = model.encode_image_files(paths, progress=progress)
    probabilities = classifier.probabilities(encoded.embeddings)
    names, threshold = classifier.words.names, none_below or classifier.words.threshold or 0.0
    decisions = {
        place: _decision(paths[place], names, row, threshold)
        for place, row in zip(encoded.indices, probabilities, strict=True)
    }
    decisions |= {place: _failure(paths[place], error) for place, error in encoded.errors}
    return [decisions[place] for place in range(len(paths))]


def learnt_classifier(model: Model, *, templates: Sequence[str] | None = None) -> BundleClassifier:
    """Return the classifier that lies in a bundle.

    Raises:
        InputError: if there is none, so that classes have to be given; or if there are templates,
            which it has no use for.
    """
    found = model.source.classifier() if isinstance(model.source, Bundle) else None
    if found is None:
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE; "
            f"{model.name} has none of its own",
            hint="a FILE may hold several sentences per class",
        )
    if templates:
        raise InputError(
            "--templates go with classes, and the model's own were learnt from pictures",
            hint="leave --templates out, or give --labels or --classes",
        )
    return found


def _decision(
    path: Path, names: Sequence[str], row: NDArray[np.floating], threshold: float = 0.0
) -> Decision:
    best = int(row.argmax())
    scores = tuple((name, float(score)) for name, score in zip(names, row, strict=True))
    label = names[best] if row[best] >= threshold else ""
    return Decision(path, label, float(row[best]), scores)


def _failure(path: Path, error: ImageError) -> Decision:
    return Decision(path, error=str(error))


def read_classes(labels: str | None, file: Path | None) -> Classes | ClassFile:
    """Take classes from "cat,dog", or from a file of docs/classes.md.

    Raises:
        InputError: if there is neither, or both.
        ConfigError: if the file is not of that form.
    """
    if (labels is None) == (file is None):
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE",
            hint="a FILE may hold several sentences per class",
        )
    if file is not None:
        return read_class_file(file)
    assert labels is not None
    names = [name.strip() for name in labels.split(",")]
    return [name for name in names if name]


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
    none = phrases("classify.none")
    classes = [name for name, _ in next((d.scores for d in decisions if d.scores), ())]
    given = [d.label or none for d in decisions if not d.error]
    labels = list(dict.fromkeys([*classes, *given]))
    rows = [_row(d, place, d.label or none) for place, d in enumerate(decisions)]
    write_contact_sheet(
        path, rows, title=phrases("terminal.sheet_title"), phrases=phrases, labels=labels
    )


def _row(decision: Decision, place: int, label: str) -> SheetRow:
    if decision.error:
        return SheetRow(path=str(decision.path), image=None, reason=decision.error)
    image = data_uri(open_image(decision.path)) if place < MAX_PICTURES_SHOWN else None
    top = sorted(decision.scores, key=lambda item: -item[1])
    return SheetRow(path=str(decision.path), image=image, label=label, scores=tuple(top))
