"""What changes when a class or a sentence is added, removed or reworded.

Shape letters: N pictures, E joint space.

The paper shows how much hangs on it (Radford et al., 2021, section 7.1: the class "child").
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.metrics import Estimate, bootstrap, mcnemar, wilson
from wordsight.transfer.class_vectors import Classes, ClassVectors, class_sentences, unit_rows


@dataclass(frozen=True, slots=True)
class Flow:
    """Pictures that went from one class to another."""

    before: str
    after: str
    count: int


@dataclass(frozen=True, slots=True)
class AccuracyChange:
    """Accuracy of two designs on the same pictures."""

    before: Estimate
    after: Estimate
    difference: Estimate
    p_value: float
    """Of McNemar's test that both are right equally often."""


@dataclass(frozen=True, slots=True)
class DesignChange:
    """What a change of the classes did to the answers."""

    name: str
    """What was changed, such as "without 'child'"."""
    moved: Estimate
    """Share of pictures that get another answer."""
    flows: tuple[Flow, ...]
    """From where to where, the largest first."""
    accuracy: AccuracyChange | None
    """None if no true classes were given."""


class ClassDesigner:
    """Tries changes of a set of classes on pictures that are embedded once.

    Args:
        model: reads the sentences.
        embeddings: unit rows (N, E) of pictures.
        truth: their true classes, if known; a class may be missing in a design, whose answers for
            its pictures then count as wrong.
        templates: sentences with `{}`; the model's own for names if not given.
        language: which of the model's own templates to use.
    """

    def __init__(
        self,
        model: Model,
        embeddings: NDArray[np.floating],
        *,
        truth: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        language: str = "en",
    ):
        if truth is not None and len(truth) != len(embeddings):
            raise InputError(f"{len(truth)} true classes for {len(embeddings)} pictures")
        self._model = model
        self._rows = np.asarray(embeddings, np.float32)
        self._truth = None if truth is None else np.asarray(truth)
        self._templates = templates
        self._language = language
        self._known: dict[str, NDArray[np.float32]] = {}

    def compare(self, before: Classes, after: Classes, *, name: str = "") -> DesignChange:
        """Return what happens when the classes `before` become the classes `after`.

        Raises:
            InputError: if either cannot be used as classes, or there are no pictures.
        """
        old, new = (self._answers(self._sentences(classes)) for classes in (before, after))
        return self._change(name, old, new)

    def without_each(self, classes: Classes) -> list[DesignChange]:
        """Return what the removal of each class, and of each of several sentences, changes.

        The largest share of moved pictures comes first: there the answers hang on one word.

        Raises:
            InputError: as `compare`, and if there are fewer than three classes.
        """
        sentences = self._sentences(classes)
        if len(sentences) < 3:
            raise InputError(f"{len(sentences)} classes; without one of them nothing is to choose")
        full = self._answers(sentences)
        changes: list[DesignChange] = []
        for name, texts in sentences.items():
            rest = {other: own for other, own in sentences.items() if other != name}
            changes.append(self._change(f"without {name!r}", full, self._answers(rest)))
            for text in texts if len(texts) > 1 else ():
                fewer = {**sentences, name: [own for own in texts if own != text]}
                changes.append(
                    self._change(f"{name!r} without {text!r}", full, self._answers(fewer))
                )
        return sorted(changes, key=lambda change: -change.moved.value)

    def with_each(self, classes: Classes, candidates: Classes) -> list[DesignChange]:
        """Return what the addition of each candidate class changes, the largest change first.

        Raises:
            InputError: as `compare`, and if a candidate is one of the classes.
        """
        for name in candidates:
            if name in classes:
                raise InputError(f"candidate {name!r} is one of the classes")
        sentences = self._sentences(_together(classes, candidates))
        present = {name: texts for name, texts in sentences.items() if name in classes}
        full = self._answers(present)
        changes = [
            self._change(f"with {name!r}", full, self._answers({**present, name: sentences[name]}))
            for name in candidates
        ]
        return sorted(changes, key=lambda change: -change.moved.value)

    def _sentences(self, classes: Classes) -> dict[str, list[str]]:
        default = self._model.source.prompts().of(self._language)
        return class_sentences(classes, self._templates, default)

    def _answers(self, sentences: dict[str, list[str]]) -> NDArray[np.str_]:
        unknown = {text: None for texts in sentences.values() for text in texts}
        new = [text for text in unknown if text not in self._known]
        self._known.update(zip(new, self._model.encode_text(new), strict=True))
        means = [
            np.mean([self._known[text] for text in texts], axis=0) for texts in sentences.values()
        ]
        vectors = ClassVectors(tuple(sentences), unit_rows(np.stack(means)))
        return np.array(vectors.names)[vectors.cosines(self._rows).argmax(axis=1)]

    def _change(self, name: str, old: NDArray[np.str_], new: NDArray[np.str_]) -> DesignChange:
        is_moved = old != new
        pairs = Counter(zip(old[is_moved].tolist(), new[is_moved].tolist(), strict=True))
        flows = tuple(Flow(*pair, count) for pair, count in pairs.most_common())
        moved = wilson(int(is_moved.sum()), len(old))
        return DesignChange(name, moved, flows, self._accuracy(old, new))

    def _accuracy(self, old: NDArray[np.str_], new: NDArray[np.str_]) -> AccuracyChange | None:
        if self._truth is None:
            return None
        was, is_now = old == self._truth, new == self._truth
        before, after = (wilson(int(right.sum()), len(right)) for right in (was, is_now))
        change = is_now.astype(np.float64) - was
        difference = bootstrap(change, lambda sample: float(sample.mean()), seed=0)
        return AccuracyChange(before, after, difference, mcnemar(was, is_now))


def _together(classes: Classes, candidates: Classes) -> Classes:
    if isinstance(classes, Mapping) and isinstance(candidates, Mapping):
        return {**classes, **candidates}
    if isinstance(classes, Mapping) or isinstance(candidates, Mapping):
        raise InputError(
            "classes and candidates must both be names, or both have sentences",
            hint="write {'child': ['child']} for a name",
        )
    return [*classes, *candidates]
