"""Learn classes from their words and a few pictures, as a scikit-learn estimator.

Names such as `X`, trailing underscores and an unannotated `X` follow scikit-learn on purpose.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model
from wordsight.errors import FitError, InputError
from wordsight.transfer.class_vectors import (
    Classes,
    ClassVectors,
    class_vectors,
    softmax,
    unit_rows,
)
from wordsight.transfer.estimator import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    check_classification_targets,
    validate_data,
)
from wordsight.transfer.few_shot.choice import METHODS, fit_chosen
from wordsight.transfer.few_shot.shots import Floats, Shots
from wordsight.transfer.few_shot.strength import setting_of
from wordsight.transfer.inputs import are_embeddings, decisions, embed_pictures, scale_of


class FewShot(ClassifierMixin, BaseEstimator):
    """Classify pictures by words and a few labelled examples, in seconds on a CPU.

        clf = FewShot(model, ["good", "crack"]).fit(["a.jpg", "b.jpg"], ["good", "crack"])
        clf.predict(["c.jpg"])

    `fit` and `predict` take pictures, or their embeddings (N, E). Without model and class vectors
    nothing is said of the classes, and the examples alone decide.

    "auto" is logistic regression whose prior is the zero-shot classifier; it falls back to a
    stronger prior where held-out examples speak against it.

    Args:
        model: what `wordsight.load` returns.
        classes: names, or a mapping from each name to the sentences that describe it.
        method: "auto", "prior_logistic", "gaussian", "tip_adapter", "tip_adapter_f",
            "lp_plus_plus", "constrained", "nearest", "zero_shot" or "linear_probe".
        templates: sentences with `{}` for the name; the model's own if not given.
        language: which of the model's own templates to use.
        strength: of the prior of "auto" and "prior_logistic": "held-out", "evidence", "shots" (by
            how many the words get right), or the penalty itself.
        seed: of the folds of held-out examples.
        class_vectors: vectors of the classes, instead of `model` and `classes`.
        scale: multiplier of the cosine; the model's own if not given, 100 without a model.

    Attributes:
        classes_: labels, (C,), in the order of the columns of `predict_proba`; with words all
            classes that have words, also those without an example.
        method_: the method in use; another than `method` for "auto".
        setting_: the numbers that held-out examples chose for it.
        guard_: accuracy of it and of the words alone on held-out examples (`Guard`).
    """

    def __init__(  # noqa: PLR0913 - every one is said by somebody, and none needs another
        self,
        model: Model | None = None,
        classes: Classes | None = None,
        *,
        method: str = "auto",
        templates: Sequence[str] | None = None,
        language: str = "en",
        strength: Literal["held-out", "evidence", "shots"] | float = "held-out",
        seed: int = 0,
        class_vectors: ClassVectors | None = None,
        scale: float | None = None,
    ):
        self.model = model
        self.classes = classes
        self.method = method
        self.templates = templates
        self.language = language
        self.strength = strength
        self.seed = seed
        self.class_vectors = class_vectors
        self.scale = scale

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> "FewShot":
        """Learn from pictures, or embeddings (M, E), and their classes (M,).

        Args:
            X: pictures or embeddings.
            y: the class of each.
            groups: (M,) ids of examples that show one object: held-out examples do not split them.

        Raises:
            InputError: for a method or strength that is not known, or groups of another length.
            FitError: for fewer than two classes, or a class that nothing is said of.
            ImageError: for a picture that cannot be used.
            MissingError: if scipy is not installed, for the methods of logistic regression.
        """
        if self.method != "auto" and self.method not in METHODS:
            raise InputError(
                f"method is {self.method!r}; expected one of auto, {', '.join(METHODS)}"
            )
        rows, labels = validate_data(self, self._embeddings(X, fitting=True), y)
        check_classification_targets(labels)
        self._learn(self._shots(_unit(rows), labels, groups))
        return self

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return logits (N, C); for two classes their difference (N,), as is the custom."""
        return decisions(self._scores(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each picture, (N,)."""
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Return the softmax of the logits, (N, C)."""
        return softmax(self._scores(X))

    def _scores(self, X: Any) -> Floats:
        if not hasattr(self, "scorer_"):
            raise NotFittedError("This FewShot instance is not fitted yet. Call 'fit' first.")
        rows = validate_data(self, self._embeddings(X, fitting=False), reset=False)
        return self.scorer_.scores(_unit(rows))

    def _embeddings(self, X: Any, *, fitting: bool) -> Any:
        """Take an array of two axes for embeddings, and anything else for pictures."""
        if self.model is None or are_embeddings(X):
            return X
        if fitting and not len(X):
            raise FitError("no examples given", hint="for words alone use ZeroShotClassifier")
        return embed_pictures(self.model, X)

    def _words(self) -> ClassVectors | None:
        if self.class_vectors is not None:
            return self.class_vectors
        if self.model is None:
            return None
        if self.classes is None:
            raise InputError("classes are missing", hint="FewShot(model, ['cat', 'dog'])")
        return class_vectors(
            self.model, self.classes, templates=self.templates, language=self.language
        )

    def _shots(self, rows: Floats, labels: NDArray[Any], groups: Any) -> Shots:
        words = self._words()
        if words is None:
            self.classes_, truth = np.unique(labels, return_inverse=True)
            vectors: Floats = np.zeros((len(self.classes_), rows.shape[1]))
        else:
            self.classes_ = np.array(words.names)
            truth = _places(labels, words.names)
            vectors = _unit(words.vectors)
        if len(self.classes_) < 2:
            raise FitError(
                f"the examples are of one class, {self.classes_[0]!s}; expected two or more"
            )
        if vectors.shape[1] != rows.shape[1]:
            raise InputError(
                f"class vectors are {vectors.shape[1]} wide, embeddings {rows.shape[1]}"
            )
        return Shots(
            rows, truth, vectors, scale_of(self.model, self.scale), _group_places(groups, len(rows))
        )

    def _learn(self, shots: Shots) -> None:
        setting = setting_of(self.strength, shots)
        chosen, self.guard_ = fit_chosen(shots, self.method, self.seed, prior=setting)
        self.scorer_ = chosen.scorer
        self.method_ = chosen.method
        self.setting_ = chosen.setting


def _unit(rows: Any) -> Floats:
    wide: Any = np.asarray(rows, np.float64)
    unit: Any = unit_rows(wide)
    return unit


def _places(labels: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels} - set(names))
    if unknown:
        raise FitError(
            f"examples are of class {unknown[0]!r}, but nothing is said of it",
            hint=f"classes with words: {', '.join(names[:10])}",
        )
    return np.array([place[str(label)] for label in labels], np.int64)


def _group_places(groups: Any, count: int) -> NDArray[np.int64]:
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups)
    if names.shape != (count,):
        raise InputError(f"groups have shape {names.shape}; expected one id for each of {count}")
    return np.unique(names, return_inverse=True)[1]
