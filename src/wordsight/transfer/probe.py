"""How much a linear classifier makes of features: the paper's linear probe.

Names such as `X`, trailing underscores and an unannotated `X` follow scikit-learn on purpose.

Shape letters: N samples, V samples of the validation part, E features, C classes.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import FitError, InputError
from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.estimator import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    check_classification_targets,
    validate_data,
)
from wordsight.transfer.hold_out import hold_out
from wordsight.transfer.logistic import Logistic, LogisticProblem
from wordsight.transfer.penalty_search import Score, search_penalty
from wordsight.transfer.samples import Floats

Part = tuple[NDArray[Any], NDArray[Any]]
"""Features (N, E) and labels (N,)."""

SEARCH_TOLERANCE = 1e-4
"""For the fits of the search: measured, their losses are then right to 2e-5 of themselves."""


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Fit logistic regression as the paper does (Radford et al., 2021, section 3.2, appendix A.3).

    It minimises, by L-BFGS, the cross-entropy summed over the samples plus
    penalty / 2 * ||coef_||^2: the optimum is that of scikit-learn's LogisticRegression with
    C = 1 / penalty. The paper gives its range, 1e-6 to 1e6, for a lambda. We read it as 1 / C of
    the library it used; reading it as C would try the same 97 values.

    With `penalty="search"` the penalty with the best accuracy on the validation part is found by
    the paper's search, and the probe is fitted again to both parts together. `fit` takes the
    validation part; without one it puts a share of the training samples aside.

    Features are taken as they are. The paper's are those before the projection:
    `model.encode_features(pictures)`.

    Args:
        penalty: "search", or a number above 0.
        validation_share: put aside for the search where `fit` is not given a validation part.
        max_iterations: steps of L-BFGS for one fit; the paper's 1,000.
        tolerance: of the last fit, whose loss is then right to about 1e-6 of itself; see
            `fit_logistic`.
        seed: of the split.

    Attributes:
        classes_: labels, (C,).
        coef_: (C, E); for two classes (1, E), as in scikit-learn.
        intercept_: (C,); for two classes (1,).
        penalty_: the one used.
        path_: what the search tried, from small to large: (penalty, validation accuracy) pairs.
        n_iter_: steps of the last fit.
    """

    def __init__(
        self,
        *,
        penalty: float | Literal["search"] = "search",
        validation_share: float = 0.2,
        max_iterations: int = 1000,
        tolerance: float = 1e-5,
        seed: int = 0,
    ):
        self.penalty = penalty
        self.validation_share = validation_share
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self.seed = seed

    def fit(self, X: Any, y: Any, *, validation: Any = None, groups: Any = None) -> "LinearProbe":
        """Fit features `X` (N, E) to labels `y` (N,).

        Args:
            X: features.
            y: labels, words or numbers.
            validation: features (V, E) and labels (V,), for the search; part of the last fit.
            groups: (N,), for the split: samples of one group stay on one side.

        Raises:
            FitError: if there is one class only, or a class is missing in one of the two parts.
            InputError: if the penalty is not positive.
            MissingError: if scipy is not installed.
        """
        rows, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        self.classes_, truth = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise FitError(
                f"the samples are of one class, {self.classes_[0]!s}; expected two or more"
            )
        train = rows, truth
        aside = None if validation is None else self._checked(validation)
        both = train if aside is None else _joined(train, aside)
        start = None
        self.path_: tuple[tuple[float, float], ...] = ()
        if not isinstance(self.penalty, str):
            self.penalty_ = float(self.penalty)
        elif self.penalty != "search":
            raise InputError(f'penalty is {self.penalty!r}; expected "search" or a number above 0')
        elif aside is not None:
            start = self._search(train, aside)
        else:
            is_aside = hold_out(
                truth, self.classes_, share=self.validation_share, seed=self.seed, groups=groups
            )
            start = self._search(
                (rows[~is_aside], truth[~is_aside]), (rows[is_aside], truth[is_aside])
            )
        problem = LogisticProblem(*both, len(self.classes_))
        self._keep(self._solve(problem, self.penalty_, start, self.tolerance))
        return self

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Return logits (N, C); for two classes their difference (N,), as is the custom."""
        logits = self._logits(X)
        return logits[:, 1] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each sample, (N,)."""
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Return the probability of each class, (N, C)."""
        return softmax(self._logits(X))

    def _logits(self, X: Any) -> NDArray[np.floating]:
        if not hasattr(self, "coef_"):
            raise NotFittedError("This LinearProbe instance is not fitted yet. Call 'fit' first.")
        logits = validate_data(self, X, reset=False) @ self.coef_.T + self.intercept_
        return logits if logits.shape[1] > 1 else np.hstack([np.zeros_like(logits), logits])

    def _checked(self, validation: Any) -> Part:
        """Return features and places of classes of the validation part, which holds them all."""
        try:
            features, given = validation
        except (TypeError, ValueError):
            raise FitError(
                f"validation is {type(validation).__name__}; expected features and labels",
                hint="write validation=(features, labels)",
            ) from None
        rows, checked = validate_data(self, features, given, reset=False)
        labels: NDArray[Any] = checked
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown):
            raise FitError(f"class {unknown[0]!s} is in the validation part, but not in training")
        missing = np.setdiff1d(self.classes_, labels)
        if len(missing):
            raise FitError(
                f"class {missing[0]!s} has no sample in the validation part",
                hint="the choice would be blind to it: add samples, or leave the class out",
            )
        return rows, np.unique(labels, return_inverse=True)[1]  # it holds the classes, all of them

    def _search(self, train: Part, aside: Part) -> Logistic:
        """Set `penalty_` and `path_`; return what was fitted to the training part."""
        problem = LogisticProblem(*train, len(self.classes_))
        fits: dict[float, Logistic] = {}

        def score(penalty: float) -> Score:
            greater = [tried for tried in fits if tried > penalty]
            start = fits[min(greater)] if greater else None
            fits[penalty] = self._solve(problem, penalty, start, SEARCH_TOLERANCE)
            return _score(fits[penalty], aside)

        self.penalty_, scores = search_penalty(score)
        self.path_ = tuple((penalty, found.accuracy) for penalty, found in scores.items())
        return fits[self.penalty_]

    def _solve(
        self,
        problem: LogisticProblem,
        penalty: float,
        start: Logistic | None,
        tolerance: float,
    ) -> Logistic:
        # For two classes scikit-learn penalises one vector, the difference of ours: half as much.
        factor = 2.0 if len(self.classes_) == 2 else 1.0
        return problem.fit(
            factor * penalty, start=start, max_iterations=self.max_iterations, tolerance=tolerance
        )

    def _keep(self, found: Logistic) -> None:
        self.coef_, self.intercept_ = found.coef, found.intercept
        if len(self.classes_) == 2:
            self.coef_ = found.coef[1:] - found.coef[:1]
            self.intercept_ = found.intercept[1:] - found.intercept[:1]
        self.n_iter_ = found.iterations


def _joined(train: Part, aside: Part) -> Part:
    return np.concatenate([train[0], aside[0]]), np.concatenate([train[1], aside[1]])


def _score(found: Logistic, part: Part) -> Score:
    rows, truth = part
    logits = found.decide(rows)
    logits -= logits.max(axis=1, keepdims=True)
    right: Floats = logits[np.arange(len(truth)), truth]
    totals: Floats = np.exp(logits).sum(axis=1)
    hits: NDArray[np.bool_] = logits.argmax(axis=1) == truth
    return Score(float(hits.mean()), float((right - np.log(totals)).mean()))
