"""Every picture judged by a model that has not seen it, nor anything of its group.

Shape letters: N pictures, C classes, E joint space.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.evaluation.folds import group_folds, need_groups
from wordsight.evaluation.thresholds import Rule
from wordsight.transfer.class_vectors import softmax


class Classifier(Protocol):
    """What is judged: any scikit-learn classifier that scores its classes."""

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Learn from rows (N, E) and labels (N,)."""
        ...

    def decision_function(self, X: Any) -> NDArray[np.floating]:  # noqa: N803
        """Return scores (N, C), or (N,) for two classes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What was said of every picture by a model that did not see it."""

    classes: tuple[str, ...]
    scores: NDArray[np.float64]
    """(N, C), as `decision_function` gives them."""
    folds: NDArray[np.int64]
    """(N,), the fold each was held out in."""
    margins: NDArray[np.float64] | None = None
    """(N,), how far the defect score is above the threshold of its fold; None without defects."""
    thresholds: tuple[float, ...] = ()
    """Of each fold."""

    @property
    def guesses(self) -> tuple[str, ...]:
        """The class with the best score of every picture."""
        return tuple(self.classes[int(i)] for i in np.argmax(self.scores, axis=1))

    @property
    def probabilities(self) -> NDArray[np.floating]:
        """(N, C)."""
        return softmax(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Pictures to learn from."""

    rows: NDArray[np.floating]
    labels: NDArray[Any]
    groups: NDArray[Any]

    def chosen(self, which: NDArray[np.bool_]) -> "_Rows":
        return _Rows(self.rows[which], self.labels[which], self.groups[which])


def out_of_fold(
    make: Callable[[], Classifier],
    X: NDArray[np.floating],  # noqa: N803
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    positive: Sequence[str] = (),
    rule: Rule | None = None,
    num_folds: int = 5,
    seed: int = 0,
) -> OutOfFold:
    """Judge every picture by a model fitted without its fold.

    Where some classes are defects, the line between good and defective is drawn by `rule` on
    pictures of the other folds only: scores for it come from a second cross-validation among
    them, because a model is too sure of what it was fitted on.

    Args:
        make: makes a new classifier.
        X: (N, E) embeddings.
        labels: (N,) classes.
        groups: (N,) what must not be split; every picture its own where nothing belongs together.
        positive: the classes that are defects.
        rule: draws the line; needed with `positive`.
        num_folds: of both cross-validations.
        seed: of both.

    Raises:
        InputError: for lengths that differ, unknown defects, or defects without a rule.
        DataError: if a class comes in too few groups: 2, or 3 where there are defects.
    """
    rows, truth = np.asarray(X), np.asarray(labels)
    classes = tuple(sorted(set(labels)))
    if rows.ndim != 2 or len(rows) != len(labels):
        raise InputError(f"expected {len(labels)} embeddings, got an array of shape {rows.shape}")
    if positive and rule is None:
        raise InputError("defects need a rule that draws the line")
    defects = _columns(classes, positive)
    if positive:
        need_groups(labels, groups, 3, why="to judge, to draw the line, and to learn")
    folds = group_folds(labels, groups, num_folds=num_folds, seed=seed)
    scores = np.zeros((len(rows), len(classes)))
    margins = np.zeros(len(rows))
    thresholds: list[float] = []
    everything = _Rows(rows, truth, np.asarray(groups))
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        learnt = everything.chosen(~held_out)
        scores[held_out] = _scores(make, learnt, rows[held_out], classes)
        if rule and positive:
            inner_folds = group_folds(
                list(learnt.labels), list(learnt.groups), num_folds=num_folds, seed=seed
            )
            inner = _held_out_scores(make, learnt, inner_folds, classes)
            is_defect = np.isin(learnt.labels, list(positive))
            thresholds.append(rule(defect_scores(inner, defects), is_defect))
            margins[held_out] = defect_scores(scores[held_out], defects) - thresholds[-1]
    return OutOfFold(classes, scores, folds, margins if positive else None, tuple(thresholds))


def defect_scores(
    scores: NDArray[np.floating], is_defect: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the log odds of any defect, (N,), from scores whose softmax are probabilities (N, C).

    Log odds keep their digits where a probability would be rounded to 1.
    """
    values = np.asarray(scores, np.float64)
    return np.logaddexp.reduce(values[:, is_defect], axis=1) - np.logaddexp.reduce(
        values[:, ~is_defect], axis=1
    )


def _columns(classes: Sequence[str], positive: Sequence[str]) -> NDArray[np.bool_]:
    unknown = [name for name in positive if name not in classes]
    if unknown:
        raise InputError(f"no picture is of the class {unknown[0]!r}, which is called a defect")
    marks = np.isin(list(classes), list(positive))
    if positive and marks.all():
        raise InputError("every class is called a defect; one must be good")
    return marks


def _held_out_scores(
    make: Callable[[], Classifier],
    pictures: _Rows,
    folds: NDArray[np.int64],
    classes: Sequence[str],
) -> NDArray[np.float64]:
    scores = np.zeros((len(folds), len(classes)))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        scores[out] = _scores(make, pictures.chosen(~out), pictures.rows[out], classes)
    return scores


def fit_examples(
    model: Classifier, rows: NDArray[np.floating], labels: NDArray[Any], groups: NDArray[Any]
) -> None:
    """Let a classifier learn; one that holds examples out itself is told which belong together."""
    learn: Callable[..., Any] = model.fit
    if "groups" in signature(learn).parameters:
        learn(rows, labels, groups=groups)
    else:
        learn(rows, labels)


def _scores(
    make: Callable[[], Classifier], seen: _Rows, asked: NDArray[np.floating], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return one column for each class, whatever the classifier makes of two classes."""
    model = make()
    fit_examples(model, seen.rows, seen.labels, seen.groups)
    scores = np.asarray(model.decision_function(asked), np.float64)
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    place = [list(model.classes_).index(name) for name in classes]
    return scores[:, place]
