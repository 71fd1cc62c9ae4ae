"""Classify pictures by what is said of the classes, as a scikit-learn estimator.

Names such as `X`, trailing underscores and an unannotated `X` follow scikit-learn on purpose.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.transfer.calibration import FITS, Calibration
from wordsight.transfer.class_vectors import Classes, class_vectors, softmax, unit_rows
from wordsight.transfer.estimator import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    check_classification_targets,
    validate_data,
)
from wordsight.transfer.inputs import are_embeddings, decisions, embed_pictures, scale_of

_LEVEL = 1e-12


class ZeroShotClassifier(ClassifierMixin, BaseEstimator):
    """Classify pictures by the sentences they are nearest to (Radford et al., 2021, section 3.1).

    With a model and classes it predicts at once; nothing is learnt from pictures, so there is
    nothing to overfit:

        clf = ZeroShotClassifier(model, ["cat", "dog"])
        clf.predict(["a.jpg", "b.jpg"])

    Without a model it works on embeddings: `fit` takes (N, E) embeddings of *prompts* and the
    class each describes, `predict` takes (N, E) embeddings of *pictures*.

    Args:
        model: what `wordsight.load` returns.
        classes: names, or a mapping from each name to the sentences that describe it.
        templates: sentences with `{}` for the name; the model's own if not given.
        scale: multiplier of the cosine in `predict_proba`; the model's own if not given.
        language: which of the model's own templates to use.
        calibration: what turns `scores` into probabilities instead of the softmax; `calibrate`
            learns one.
        cache: folder that keeps vectors of many sentences; True for wordsight's, False for none.

    Attributes:
        classes_: labels, (C,), in the order of the columns of `predict_proba`.
        class_vectors_: their unit vectors, (C, E).
    """

    def __init__(
        self,
        model: Model | None = None,
        classes: Classes | None = None,
        *,
        templates: Sequence[str] | None = None,
        scale: float | None = None,
        language: str = "en",
        calibration: Calibration | None = None,
        cache: Path | bool = True,
    ):
        self.model = model
        self.classes = classes
        self.templates = templates
        self.scale = scale
        self.language = language
        self.calibration = calibration
        self.cache = cache

    def fit(self, X: Any = None, y: Any = None) -> "ZeroShotClassifier":
        """Embed the classes; or average given prompt embeddings `X` (N, E) per class of `y` (N,).

        With a model, `X` and `y` are not used: they may be given, as cross-validation does.
        """
        if self.model is not None:
            self._embed_classes()
            return self
        rows, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        self.classes_, index = np.unique(labels, return_inverse=True)
        prompts = unit_rows(rows)
        means = [prompts[index == k].mean(axis=0) for k in range(len(self.classes_))]
        self.class_vectors_ = unit_rows(np.stack(means))
        return self

    def calibrate(self, X: Any, y: Any, *, method: str = "temperature") -> "ZeroShotClassifier":
        """Return a copy whose probabilities fit how often it is right on pictures X of classes y.

        Take pictures that are not measured on later; `calibration.py` says what each method does.

        Raises:
            InputError: for an unknown method, a label that is not one of the classes, or too few
                pictures for the method.
        """
        if method not in FITS:
            raise InputError(f"unknown calibration {method!r}", hint=nearest(method, FITS))
        scores = self.scores(X)
        column = {label: place for place, label in enumerate(self.classes_.tolist())}
        labels = np.asarray(y).tolist()
        for label in labels:
            if label not in column:
                raise InputError(
                    f"label {label!r} is not one of the classes",
                    hint=nearest(str(label), map(str, column)),
                )
        calibrated = copy.copy(self)
        calibrated.calibration = FITS[method](scores, [column[label] for label in labels])
        return calibrated

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return scaled cosines (N, C); for two classes their difference (N,), as is the custom."""
        return decisions(self.scores(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each picture, (N,).

        That is the one whose description is nearest, unless a calibration corrects a class that
        is named too often.
        """
        scores = self.scores(X)
        if self.calibration is not None:
            chances = self.calibration.probabilities(scores)
            is_best = chances >= chances.max(axis=1, keepdims=True) - _LEVEL
            scores = np.where(is_best, scores, -np.inf)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Return the softmax of the scaled cosines, or calibrated probabilities, (N, C)."""
        scores = self.scores(X)
        return (
            softmax(scores) if self.calibration is None else self.calibration.probabilities(scores)
        )

    def scores(self, X: Any) -> NDArray[np.floating]:
        """Return the scaled cosine of every picture with every class, (N, C)."""
        if self.model is not None and self._is_stale():
            self._embed_classes()
        if not hasattr(self, "class_vectors_"):
            raise NotFittedError(
                "This ZeroShotClassifier instance is not fitted yet. Give it a model and classes, "
                "or call 'fit' with embeddings of prompts."
            )
        return self.scaled_cosines(self.embed(X), self.class_vectors_)

    def scaled_cosines(
        self, rows: NDArray[np.floating], vectors: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return the scaled cosine of embeddings (N, E) with unit vectors (S, E), (N, S)."""
        return scale_of(self.model, self.scale) * unit_rows(rows) @ vectors.T

    def embed(self, X: Any) -> NDArray[np.floating]:
        """Return embeddings (N, E); an array of two axes holds them already."""
        if self.model is not None and not are_embeddings(X):
            return embed_pictures(self.model, X)
        return validate_data(self, X, reset=False)

    def _is_stale(self) -> bool:
        """Whether model, classes, templates or language changed since the classes were embedded."""
        return getattr(self, "_embedded", None) != self._wanted()

    def _wanted(self) -> tuple[Any, ...]:
        return id(self.model), repr(self.classes), repr(self.templates), self.language

    def _embed_classes(self) -> None:
        if self.model is None or self.classes is None:
            raise InputError(
                "classes are missing", hint="ZeroShotClassifier(model, ['cat', 'dog'])"
            )
        found = class_vectors(
            self.model,
            self.classes,
            templates=self.templates,
            language=self.language,
            cache=self.cache,
        )
        self.classes_ = np.array(found.names)
        self.class_vectors_ = found.vectors
        self.n_features_in_ = found.vectors.shape[1]
        self._embedded = self._wanted()
