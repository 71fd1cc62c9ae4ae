"""Classify pictures by what is said of the classes, as a scikit-learn estimator.

Names such as `X`, trailing underscores and an unannotated `X` follow scikit-learn on purpose.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.transfer.class_vectors import Classes, class_vectors, softmax, unit_rows
from wordsight.transfer.estimator import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    check_classification_targets,
    validate_data,
)

DEFAULT_SCALE = 100.0


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
    ):
        self.model = model
        self.classes = classes
        self.templates = templates
        self.scale = scale
        self.language = language

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

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return scaled cosines (N, C); for two classes their difference (N,), as is the custom."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class whose description is nearest to each picture, (N,)."""
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Return the softmax of the scaled cosines, (N, C)."""
        return softmax(self._scores(X))

    def _scores(self, X: Any) -> NDArray[np.floating]:
        if self.model is not None and self._is_stale():
            self._embed_classes()
        if not hasattr(self, "class_vectors_"):
            raise NotFittedError(
                "This ZeroShotClassifier instance is not fitted yet. Give it a model and classes, "
                "or call 'fit' with embeddings of prompts."
            )
        return self._scale() * unit_rows(self._embeddings(X)) @ self.class_vectors_.T

    def _scale(self) -> float:
        if self.scale is not None:
            return self.scale
        return self.model.logit_scale if self.model is not None else DEFAULT_SCALE

    def _embeddings(self, X: Any) -> NDArray[np.floating]:
        """Take an array of two axes for embeddings, and anything else for pictures."""
        if self.model is not None and not (hasattr(X, "ndim") and X.ndim == 2):
            return self.model.encode_image(X if isinstance(X, str) else list(X))
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
            self.model, self.classes, templates=self.templates, language=self.language
        )
        self.classes_ = np.array(found.names)
        self.class_vectors_ = found.vectors
        self.n_features_in_ = found.vectors.shape[1]
        self._embedded = self._wanted()
