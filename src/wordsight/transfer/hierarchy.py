"""Answering with a class where that is sure, else with a group of classes.

Shape letters: N pictures, C classes (leaves), M nodes (groups and classes).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.transfer.class_tree import Floats, Hierarchy
from wordsight.transfer.estimator import BaseEstimator, NotFittedError


class HierarchicalClassifier(BaseEstimator):
    """Answers with a class where it is sure, else with the smallest group it is sure of.

        clf = HierarchicalClassifier(ZeroShotClassifier(model, names), {"animal": ["cat", "dog"]})
        clf.predict(pictures)                  # "cat", "animal", or "undecided"

    Works on any classifier with `predict_proba`. Calibrate it first if the confidence is to mean
    what it says (`ZeroShotClassifier.calibrate`). An estimator, but not one of scikit-learn's
    classifiers: these never answer with a group.

    Args:
        classifier: gives the probabilities of the classes.
        groups: members of each group: classes or other groups; `class_file.read_class_file` reads
            them from [hierarchy].
        confidence: least probability of an answer.
        undecided: the answer where not even a group at the top is as probable.
    """

    def __init__(
        self,
        classifier: Any = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        *,
        confidence: float = 0.5,
        undecided: str = "undecided",
    ):
        self.classifier = classifier
        self.groups = groups
        self.confidence = confidence
        self.undecided = undecided

    def fit(self, X: Any = None, y: Any = None) -> "HierarchicalClassifier":
        """Fit the classifier on X and y as it wants them."""
        self._check_given().fit(X, y)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return a class, a group, or `undecided` for each picture, (N,)."""
        chances = self.predict_proba(X)
        found = self.hierarchy().deepest(chances, self.confidence)
        return np.array([self.undecided if node is None else node for node in found], dtype=str)

    def predict_proba(self, X: Any) -> Floats:
        """Return the probabilities of the classes, (N, C)."""
        return np.asarray(self._check_given().predict_proba(X), np.float64)

    def node_proba(self, X: Any) -> Floats:
        """Return the probabilities of `hierarchy().nodes`, (N, M)."""
        chances = self.predict_proba(X)
        return self.hierarchy().probabilities(chances)

    def hierarchy(self) -> Hierarchy:
        """Return the tree over the classes of the classifier, which must have predicted or learnt.

        Raises:
            InputError: if the groups make no tree of the classes; see `Hierarchy`.
        """
        classifier = self._check_given()
        if not hasattr(classifier, "classes_"):
            raise NotFittedError(
                "This HierarchicalClassifier instance is not fitted yet: its classifier is not."
            )
        return Hierarchy(self.groups or {}, [str(name) for name in classifier.classes_])

    def _check_given(self) -> Any:
        if self.classifier is None:
            raise InputError(
                "a classifier is missing", hint="HierarchicalClassifier(ZeroShotClassifier(...))"
            )
        return self.classifier
