"""Several labels a picture: for each label a probability of its own, against its negation.

Shape letters: N pictures, L labels, E joint space.

Names such as `X`, `Y` and trailing underscores follow scikit-learn on purpose.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.config import nearest
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.transfer.class_vectors import Classes, class_vectors, unit_rows
from wordsight.transfer.estimator import BaseEstimator, validate_data
from wordsight.transfer.inputs import are_embeddings
from wordsight.transfer.sigmoid import Sigmoid, fit_sigmoid

Floats = NDArray[np.float64]

DEFAULT_THRESHOLD = 0.5


class MultiLabelClassifier(BaseEstimator):
    """Say of every label whether it is seen in a picture.

        clf = MultiLabelClassifier(model, ["rust", "crack"], background=["a clean metal part"])
        clf.predict(pictures)                    # (N, 2) true and false
        clf.fit(labelled_pictures, marks)        # makes probabilities true, chooses thresholds

    Without `fit`, the probability of a label is the softmax of its cosine against that of its
    negation, at the model's scale. `fit` learns slope and offset of a sigmoid per label (Platt,
    1999) and, on the same pictures, the threshold of its probability with the best F1. A label
    that has no picture, or all of them, keeps what it had; `learnt_` says which learnt.

    An estimator for embeddings or pictures; not one of scikit-learn's classifiers, which are fitted
    without a model of words.

    Args:
        model: what `wordsight.load` returns.
        labels: names, or a mapping from each name to sentences.
        negations: sentences per label that say it is not there ("a surface without rust").
        background: sentences for the labels without negations. If none are given, they are told
            apart from the mean of all labels.
        templates: sentences with `{}`; the model's own if not given.
        language: which of the model's own templates to use.

    Attributes:
        labels_: names, (L,).
        sigmoids_: one for each label.
        thresholds_: (L,).
        learnt_: whether each label had pictures of both kinds, (L,).
    """

    def __init__(
        self,
        model: Model | None = None,
        labels: Classes | None = None,
        *,
        negations: Mapping[str, Sequence[str]] | None = None,
        background: Sequence[str] = (),
        templates: Sequence[str] | None = None,
        language: str = "en",
    ):
        self.model = model
        self.labels = labels
        self.negations = negations
        self.background = background
        self.templates = templates
        self.language = language

    def fit(self, X: Any, Y: Any) -> "MultiLabelClassifier":
        """Learn from pictures X and marks Y (N, L) of true and false, in the order of `labels`.

        Raises:
            InputError: if the marks do not fit pictures and labels.
        """
        margins = self.decision_function(X)
        marks = np.asarray(Y)
        if marks.shape != margins.shape or not bool(np.isin(marks, (0, 1)).all()):
            raise InputError(
                f"expected marks of true and false of shape {margins.shape}, got {marks.shape}",
                hint=f"one column for each of {', '.join(self.labels_)}",
            )
        marks = marks.astype(bool)
        self.learnt_: NDArray[np.bool_] = np.logical_and(marks.any(axis=0), ~marks.all(axis=0))
        self.sigmoids_ = tuple(
            fit_sigmoid(margins[:, k], marks[:, k]) if learnt else Sigmoid(1.0, 0.0)
            for k, learnt in enumerate(self.learnt_.tolist())
        )
        chances = self._chances(margins)
        self.thresholds_ = np.array(
            [
                best_f1_threshold(chances[:, k], marks[:, k]) if learnt else DEFAULT_THRESHOLD
                for k, learnt in enumerate(self.learnt_.tolist())
            ]
        )
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return how much nearer each label is than its negation, times the scale, (N, L)."""
        if self.model is None or self.labels is None:
            raise InputError(
                "model or labels are missing", hint="MultiLabelClassifier(model, ['rust', 'crack'])"
            )
        wanted = self._wanted()
        if getattr(self, "_embedded", None) != wanted:
            self._embed_labels(self.model, self.labels)
            self._embedded = wanted
        if are_embeddings(X):
            rows = validate_data(self, X, reset=False)
        else:
            rows = self.model.encode_image(list(X))
        difference = (self._vectors - self._negations).astype(np.float64)
        return self.model.logit_scale * unit_rows(np.asarray(rows, np.float32)) @ difference.T

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of every label, each by itself, (N, L)."""
        return self._chances(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[np.bool_]:
        """Return which labels reach their threshold, (N, L)."""
        return self.predict_proba(X) >= getattr(self, "thresholds_", DEFAULT_THRESHOLD)

    def _chances(self, margins: Floats) -> Floats:
        plain = (Sigmoid(1.0, 0.0),) * margins.shape[1]
        sigmoids = getattr(self, "sigmoids_", plain)
        return np.stack([curve(margins[:, k]) for k, curve in enumerate(sigmoids)], axis=1)

    def _wanted(self) -> tuple[Any, ...]:
        words = (self.labels, self.negations, self.background, self.templates)
        return id(self.model), *map(repr, words), self.language

    def _embed_labels(self, model: Model, labels: Classes) -> None:
        found = class_vectors(model, labels, templates=self.templates, language=self.language)
        self.labels_ = found.names
        self._vectors = found.vectors
        self.n_features_in_ = found.vectors.shape[1]
        for name in self.negations or {}:
            if name not in found.names:
                raise InputError(
                    f"negations of {name!r}, which is not a label", hint=nearest(name, found.names)
                )
        shared = (
            _mean_direction(model.encode_text(list(self.background)))
            if len(self.background)
            else _mean_direction(found.vectors)
        )
        own = {
            name: _mean_direction(model.encode_text(list(sentences)))
            for name, sentences in (self.negations or {}).items()
        }
        self._negations = np.stack([own.get(name, shared) for name in found.names])


def best_f1_threshold(probabilities: ArrayLike, is_positive: ArrayLike) -> float:
    """Return the threshold with the highest F1, half-way between two neighbouring probabilities.

    Of several the highest. Chosen by looking at the answers: measure it on other pictures.

    Args:
        probabilities: (N,).
        is_positive: (N,) marks, one of them true.

    Raises:
        InputError: if the lengths differ, or none is positive.
    """
    values, marks = np.asarray(probabilities, np.float64), np.asarray(is_positive, bool)
    if values.ndim != 1 or values.shape != marks.shape or not marks.any():
        raise InputError(
            f"expected as many marks as probabilities, one of them true, got {marks.shape} and "
            f"{values.shape}"
        )
    levels, index = np.unique(values, return_inverse=True)
    positives = np.bincount(index, marks)[::-1].cumsum()[::-1]
    taken = np.bincount(index)[::-1].cumsum()[::-1]
    f1 = 2 * positives / (taken + marks.sum())
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    return float(levels[0] if best == 0 else (levels[best - 1] + levels[best]) / 2)


def _mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return unit_rows(vectors.mean(axis=0, keepdims=True))[0]
