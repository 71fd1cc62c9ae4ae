"""Classify pictures by description, or answer that none of the classes fits.

Names such as `X`, trailing underscores and an unannotated `X` follow scikit-learn on purpose.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.config import nearest
from wordsight.errors import InputError
from wordsight.transfer.estimator import BaseEstimator, NotFittedError
from wordsight.transfer.open_set import SCORES, above_none, threshold_for
from wordsight.transfer.zero_shot import ZeroShotClassifier

ABOVE_NONE = "above_none"


class OpenSetClassifier(BaseEstimator):
    """A `ZeroShotClassifier` that may answer "none of these", as rarely as you state.

        clf = OpenSetClassifier(ZeroShotClassifier(model, ["cat", "dog"]), false_rejection=0.05)
        clf.fit(pictures_of_cats_and_dogs)
        clf.predict(any_pictures)

    `fit` needs pictures of the known classes only, without labels: it sets the threshold that
    rejects at most that share of such pictures (`open_set.threshold_for` states the guarantee).
    How many *others* are caught depends on them; measure it with `open_set.separation`.

    It is an estimator (clone, pickle, parameters, pipelines), but not one of scikit-learn's
    classifiers: these never answer with a label that they were not taught.

    Args:
        classifier: decides between the classes; one without a model must be fitted.
        score: "max_cosine", "max_softmax", "energy", "margin", or "above_none", which needs `none`.
        none: sentences about pictures that show none of the classes.
        false_rejection: share of pictures of known classes that may be rejected.
        rejected: the answer where no class fits; "none of these" for words, -1 for numbers.

    Attributes:
        threshold_: the threshold, with the rate it was set to and its interval.
        classes_: labels of the classifier; `rejected` is not among them.
    """

    def __init__(
        self,
        classifier: ZeroShotClassifier | None = None,
        *,
        score: str = "max_cosine",
        none: Sequence[str] = (),
        false_rejection: float = 0.05,
        rejected: Any = None,
    ):
        self.classifier = classifier
        self.score = score
        self.none = none
        self.false_rejection = false_rejection
        self.rejected = rejected

    def fit(self, X: Any, y: Any = None) -> "OpenSetClassifier":
        """Set the threshold with pictures of the known classes; labels are not used.

        Raises:
            InputError: for too few pictures, an unknown score, or no sentences where it needs some.
        """
        self._none_vectors = self._embed_none()
        self.threshold_ = threshold_for(self._fit_of_best(X)[0], self.false_rejection)
        self.classes_ = self._classifier().classes_
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how well the best class fits each picture, (N,): the higher, the better."""
        self._check_fitted()
        return self._fit_of_best(X)[0]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each picture, or `rejected`, (N,)."""
        self._check_fitted()
        fits, labels = self._fit_of_best(X)
        answer = self.rejected
        if answer is None:
            answer = -1 if labels.dtype.kind in "biuf" else "none of these"
        if answer in self.classes_.tolist():
            raise InputError(
                f"the answer for none of the classes, {answer!r}, is one of the classes",
                hint="choose another with rejected=...",
            )
        return np.where(self.threshold_.rejects(fits), np.array(answer), labels)

    def _fit_of_best(self, X: Any) -> tuple[NDArray[np.float64], NDArray[Any]]:
        classifier = self._classifier()
        rows = classifier.embed(X)
        scores = classifier.scores(rows)
        labels = classifier.predict(rows)
        if self._none_vectors is None:
            return SCORES[self.score](scores), labels
        return above_none(scores, classifier.scaled_cosines(rows, self._none_vectors)), labels

    def _embed_none(self) -> NDArray[np.float32] | None:
        if self.score != ABOVE_NONE:
            if self.score not in SCORES:
                known = (*SCORES, ABOVE_NONE)
                raise InputError(f"unknown score {self.score!r}", hint=nearest(self.score, known))
            return None
        model = self._classifier().model
        if model is None or not len(self.none):
            raise InputError(
                f"score {ABOVE_NONE!r} needs a model and sentences about none of the classes",
                hint='for example none=["a photo of something else", "an empty table"]',
            )
        return model.encode_text(list(self.none))

    def _classifier(self) -> ZeroShotClassifier:
        if self.classifier is None:
            raise InputError(
                "a classifier is missing", hint="OpenSetClassifier(ZeroShotClassifier(...))"
            )
        return self.classifier

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise NotFittedError(
                "This OpenSetClassifier instance is not fitted yet. Call 'fit' with pictures of "
                "the known classes."
            )
