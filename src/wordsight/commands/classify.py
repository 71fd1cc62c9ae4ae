"""Sort pictures by what is said of the classes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.classifier import BundleClassifier
from wordsight.data.class_file import ClassFile
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.images import data_uri, open_image
from wordsight.language import Phrases
from wordsight.report.contact_sheet import SheetRow, write_contact_sheet
from wordsight.transfer import decisions
from wordsight.transfer.class_tree import Hierarchy
from wordsight.transfer.class_vectors import Classes, ClassVectors, class_vectors, softmax

MAX_PICTURES_SHOWN = 2000
Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of one picture file; `error` is set if it could not be read.

    The label is a class, a group of [hierarchy], or empty where none fits.
    """

    path: Path
    label: str = ""
    score: float = 0.0
    scores: tuple[tuple[str, float], ...] = ()
    error: str = ""

    @classmethod
    def of(cls, path: Path, decided: decisions.Decision) -> "Decision":
        """Put a path to what was decided of its picture."""
        if decided.error is not None:
            return cls(path, error=str(decided.error))
        return cls(path, decided.label, decided.score, decided.scores)

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
    cache: Path | bool = True,
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide for every picture which class it fits best; scores are probabilities and add up to 1.

    A picture that cannot be read gets its reason instead, and costs nothing but its own line.
    Sentences about "none of these" of a class file take their share of the 1; where theirs is the
    largest, or the best class and every group of [hierarchy] is less probable than `none_below`,
    the label is empty.

    Args:
        model: what encodes.
        paths: picture files.
        classes: names, sentences of each, or a class file.
        templates: sentences with `{}`; those of the class file or the model if not given.
        language: which sentences and templates to take.
        none_below: least probability of a label, between 0 and 1.
        cache: as in `class_vectors`.
        progress: called with "sentences" or "pictures", the number done and of all.

    Raises:
        InputError: if classes, hierarchy, templates or `none_below` cannot be used.
    """
    decisions.check_share(none_below)
    said = embed_classes(
        model, classes, templates=templates, language=language, cache=cache, progress=progress
    )
    tree = Hierarchy(said.groups, said.classes.names)
    encoded = model.encode_image_files(paths, progress=step(progress, "pictures"))
    columns = said.classes.cosines(encoded.embeddings)
    if len(said.none):
        of_none = (encoded.embeddings @ said.none.T).max(axis=1, keepdims=True)
        columns = np.concatenate([columns, of_none], axis=1)
    chosen = decisions.choose(softmax(model.logit_scale * columns), tree, none_below)
    found = {
        place: Decision.of(paths[place], one)
        for place, one in zip(encoded.indices, chosen, strict=True)
    }
    found |= {place: Decision(paths[place], error=str(error)) for place, error in encoded.errors}
    return [found[place] for place in range(len(paths))]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What was said of the classes, as vectors."""

    classes: ClassVectors
    none: NDArray[np.float32]
    """(Z, E) sentences about pictures that show none of them."""
    groups: Mapping[str, tuple[str, ...]]


def embed_classes(
    model: Model,
    classes: Classes | ClassFile,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    cache: Path | bool = True,
    progress: Progress | None = None,
) -> Said:
    """Embed everything that is said of the classes; `classify` has the arguments.

    Raises:
        InputError: if classes or templates cannot be used, or the model reads no sentences.
    """
    words = classes if isinstance(classes, ClassFile) else None
    found = class_vectors(
        model,
        words.sentences(language) if words else cast(Classes, classes),
        templates=templates or (words.templates_in(language) if words else None),
        language=language,
        progress=step(progress, "sentences"),
        cache=cache,
    )
    none = model.encode_text(words.none_in(language) if words else [])
    return Said(found, none, words.hierarchy if words else {})


def step(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return what counts one step of several, such as "pictures"."""
    if progress is None:
        return None
    return lambda done, of: progress(name, done, of)


def classify_learnt(
    model: Model,
    paths: Sequence[Path],
    *,
    none_below: float | None = None,
    progress: Progress | None = None,
) -> list[Decision]:
    """Decide by the classifier that lies in the model (`wordsight adapt`, `wordsight edge`).

    A picture whose best class is less probable than `none_below`, or than the classifier's own
    threshold if none is given, gets no label.

    Raises:
        InputError: if there is no classifier, or `none_below` is no share.
    """
    found = decisions.decide(
        model, paths, none_below=none_below, progress=step(progress, "pictures")
    )
    return [Decision.of(path, one) for path, one in zip(paths, found, strict=True)]


def learnt_classifier(model: Model, *, templates: Sequence[str] | None = None) -> BundleClassifier:
    """Return the classifier that lies in a bundle.

    Raises:
        InputError: if there is none, so that classes have to be given; or if there are templates,
            which it has no use for.
    """
    found = model.classifier
    if found is None:
        raise InputError(
            "give the classes once: --labels cat,dog or --classes FILE; "
            f"{model.name} has none of its own",
            hint="a FILE may hold several sentences per class",
        )
    if templates:
        raise InputError(
            "--templates go with classes, and none are given: the model decides between its own",
            hint="leave --templates out, or give --labels or --classes",
        )
    return found


def write_sheet(path: Path, decided: Sequence[Decision], phrases: Phrases) -> None:
    """Write the contact sheet: one HTML page with pictures, labels and scores."""
    none = phrases("classify.none")
    classes = [name for name, _ in next((d.scores for d in decided if d.scores), ())]
    given = [d.label or none for d in decided if not d.error]
    labels = list(dict.fromkeys([*classes, *given]))
    rows = [_row(d, place, d.label or none) for place, d in enumerate(decided)]
    write_contact_sheet(
        path, rows, title=phrases("terminal.sheet_title"), phrases=phrases, labels=labels
    )


def _row(decision: Decision, place: int, label: str) -> SheetRow:
    if decision.error:
        return SheetRow(path=str(decision.path), image=None, reason=decision.error)
    image = data_uri(open_image(decision.path)) if place < MAX_PICTURES_SHOWN else None
    top = sorted(decision.scores, key=lambda item: -item[1])
    return SheetRow(path=str(decision.path), image=image, label=label, scores=tuple(top))
