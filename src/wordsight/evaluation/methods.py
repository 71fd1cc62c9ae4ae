"""The ways a model is used on a data set: by words, by a few examples, by many.

Where a data set says what is to be learnt from, a method learns from that and judges the rest.
Where it does not, every picture is judged by what was learnt without it and without its group.

Shape letters: N pictures, C classes, E width of the vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.data.labelled import LabelledPictures
from wordsight.errors import DataError
from wordsight.evaluation.cross_validation import (
    Classifier,
    defect_scores,
    fit_examples,
    out_of_fold,
)
from wordsight.evaluation.folds import group_folds
from wordsight.evaluation.scoring import Judged
from wordsight.evaluation.thresholds import Rule
from wordsight.transfer.class_vectors import ClassVectors, softmax

MethodName = Literal["zero-shot", "few-shot", "linear-probe", "retrieval"]
METHODS: tuple[MethodName, ...] = ("zero-shot", "few-shot", "linear-probe", "retrieval")
NUM_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a method is applied once."""

    method: MethodName
    shots: int | None = None
    """Examples of each class; None for all there are."""
    seed: int = 0
    algorithm: str = ""
    """Of few-shot."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A data set as a model sees it."""

    pictures: LabelledPictures
    """The readable ones, in the order of the rows."""
    rows: NDArray[np.float32]
    """(N, E)"""
    rule: Rule | None = None
    """Draws the line between good and defective, where some classes are defects."""

    def part(self, *names: str) -> "Task":
        """Return the pictures of some parts."""
        chosen = [i for i, part in enumerate(self.pictures.parts) if part in names]
        return Task(self.pictures.subset(chosen), self.rows[chosen], self.rule)

    @property
    def measured(self) -> "Task":
        """The pictures that are measured on."""
        return self.part("test")

    @property
    def groups(self) -> tuple[str, ...]:
        """What must not be split; every picture its own where nothing belongs together."""
        return self.pictures.groups or self.pictures.keys


def judge_by_words(task: Task, vectors: ClassVectors, scale: float) -> Judged:
    """Judge by the class whose sentences are nearest (Radford et al., 2021, section 3.1).

    The line between good and defective is drawn on the pictures to learn from; where there are
    none, on the other folds of those measured.
    """
    measured = task.measured
    logits = scale * vectors.cosines(measured.rows).astype(np.float64)
    judged = np.asarray(softmax(logits), np.float64)
    if task.rule is None:
        return Judged(vectors.names, judged)
    columns = np.isin(vectors.names, task.pictures.positive)
    seen = task.part("train", "validation")
    values = defect_scores(logits, columns)
    if _has_both(seen.pictures):
        learnt = scale * vectors.cosines(seen.rows).astype(np.float64)
        line = task.rule(defect_scores(learnt, columns), _defects(seen.pictures))
        return Judged(vectors.names, judged, values - line)
    return Judged(vectors.names, judged, values - _lines(measured, values, task.rule))


def judge_by_examples(task: Task, make: Callable[[], Classifier], settings: Settings) -> Judged:
    """Judge by a classifier that learnt from pictures.

    Args:
        task: the data set.
        make: makes a new classifier.
        settings: how many examples of each class it may see, and which.

    Raises:
        DataError: if there are too few pictures to learn from.
    """
    _need_one_class_each(task.pictures)
    made: list[_OfExamples] = []

    def makes() -> _OfExamples:
        made.append(_OfExamples(make(), settings))
        return made[-1]

    train, measured = task.part("train"), task.measured
    positive = task.pictures.positive if task.rule else ()
    if not len(train.pictures):
        held_out = out_of_fold(
            makes,
            measured.rows,
            measured.pictures.truth,
            measured.groups,
            positive=positive,
            rule=task.rule,
            num_folds=NUM_FOLDS,
            seed=settings.seed,
        )
        judged = held_out.probabilities
        return _in_order(held_out.classes, judged, task.pictures, held_out.margins, made)
    classifier = makes()
    classifier.validation = task.part("validation")
    classifier.fit(train.rows, np.asarray(train.pictures.truth), groups=train.groups)
    scores = classifier.scores(measured.rows)
    margins = None
    if task.rule:
        columns = np.isin(classifier.classes_, positive)
        line = _line_of(makes, train, task.rule, settings.seed)
        margins = defect_scores(scores, columns) - line
    classes = tuple(str(name) for name in classifier.classes_)
    return _in_order(classes, softmax(scores), task.pictures, margins, made[:1])


def draw_examples(labels: Sequence[str], shots: int, seed: int) -> NDArray[np.int64]:
    """Return the places of `shots` pictures of each class, at random; all where there are fewer.

    More shots with one seed add pictures and keep those drawn before.
    """
    random = np.random.default_rng(seed)
    truth, chosen = np.asarray(labels), list[NDArray[np.int64]]()
    for name in sorted(set(labels)):
        places = np.flatnonzero(truth == name)
        chosen.append(random.permutation(places)[:shots])
    return np.sort(np.concatenate(chosen))


class _OfExamples:
    """A classifier that learns from some examples of each class only."""

    def __init__(self, inner: Classifier, settings: Settings):
        self.inner, self.settings = inner, settings
        self.validation: Task | None = None
        self.classes_: NDArray[Any] = np.array([])

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> "_OfExamples":  # noqa: N803
        """Learn from the examples drawn of rows `X` and labels `y`, of groups (N,)."""
        rows, labels = np.asarray(X), np.asarray(y)
        of = np.arange(len(labels)) if groups is None else np.asarray(groups)
        if self.settings.shots is not None:
            chosen = draw_examples(list(labels), self.settings.shots, self.settings.seed)
            rows, labels, of = rows[chosen], labels[chosen], of[chosen]
        aside = self.validation
        is_asked = self.settings.method == "linear-probe" and self.settings.shots is None
        if is_asked and aside is not None and set(aside.pictures.truth) == set(labels.tolist()):
            inner: Any = self.inner
            inner.fit(rows, labels, validation=(aside.rows, np.asarray(aside.pictures.truth)))
        else:
            fit_examples(self.inner, rows, labels, of)
        self.classes_ = self.inner.classes_
        return self

    def decision_function(self, X: Any) -> NDArray[np.floating]:  # noqa: N803
        """Return the scores of the classifier."""
        return self.inner.decision_function(X)

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a column for each class, of two classes too."""
        scores = np.asarray(self.inner.decision_function(rows), np.float64)
        return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def _line_of(makes: Callable[[], Classifier], train: Task, rule: Rule, seed: int) -> float:
    """Draw the line by pictures to learn from, each judged by what was learnt without it."""
    truth = train.pictures.truth
    held_out = out_of_fold(makes, train.rows, truth, train.groups, num_folds=NUM_FOLDS, seed=seed)
    columns = np.isin(held_out.classes, train.pictures.positive)
    return rule(defect_scores(held_out.scores, columns), _defects(train.pictures))


def _lines(task: Task, values: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
    """Draw a line for each fold on the others."""
    marks = _defects(task.pictures)
    sides = ["defective" if mark else "good" for mark in marks]
    folds = group_folds(sides, task.groups, num_folds=NUM_FOLDS, seed=0)
    lines = np.zeros(len(values))
    for fold in range(int(folds.max()) + 1):
        other = folds != fold
        lines[~other] = rule(values[other], marks[other])
    return lines


def _in_order(
    classes: tuple[str, ...],
    probabilities: NDArray[np.floating],
    pictures: LabelledPictures,
    margins: NDArray[np.float64] | None,
    made: Sequence[_OfExamples],
) -> Judged:
    """Bring columns into the order of the data set; classes that were never seen get 0."""
    ordered = np.zeros((len(probabilities), len(pictures.classes)))
    place = {name: column for column, name in enumerate(pictures.classes)}
    for column, name in enumerate(classes):
        ordered[:, place[name]] = probabilities[:, column]
    chosen = dict.fromkeys(str(getattr(one.inner, "method_", "")) for one in made)
    algorithm = ", ".join(filter(None, chosen))
    return Judged(pictures.class_names, ordered, margins, algorithm)


def _defects(pictures: LabelledPictures) -> NDArray[np.bool_]:
    return np.array([bool(set(names) & set(pictures.positive)) for names in pictures.labels], bool)


def _has_both(pictures: LabelledPictures) -> bool:
    marks = _defects(pictures)
    return bool(marks.any() and not marks.all())


def _need_one_class_each(pictures: LabelledPictures) -> None:
    if pictures.is_multi_label:
        raise DataError(
            f"{pictures.name}: pictures with several classes can be judged by words only",
            hint='methods = ["zero-shot"]',
        )
