"""The base of our estimators: scikit-learn's, or a stand-in where it is not installed.

The base install leaves scikit-learn (200 MB with scipy) out. The stand-in offers what prediction
needs; everything that combines estimators needs scikit-learn anyway.
"""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordsight.packages import is_installed

if not TYPE_CHECKING and is_installed("sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import validate_data
else:

    class NotFittedError(ValueError, AttributeError):
        """Raised when an estimator predicts before it was fitted."""

    class BaseEstimator:
        """Parameters by name, as scikit-learn keeps them."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters of the constructor."""
            return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

        def set_params(self, **params: Any) -> Any:
            """Set parameters of the constructor."""
            for name, value in params.items():
                setattr(self, name, value)
            return self

    class ClassifierMixin:
        """Accuracy as the score."""

        def score(self, X: Any, y: Any) -> float:
            """Return the share of right answers."""
            return float(np.mean(self.predict(X) == np.asarray(y)))  # type: ignore[attr-defined]

    def check_classification_targets(y: Any) -> None:
        """Accept any labels."""

    def validate_data(_estimator: Any, X: Any, y: Any = None, reset: bool = True) -> Any:
        """Return finite numbers of two axes (and labels of the same length)."""
        rows: NDArray[np.floating] = np.asarray(X, dtype=np.float64)
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise ValueError(f"expected finite rows of shape (N, E), got shape {rows.shape}")
        if reset:
            _estimator.n_features_in_ = rows.shape[1]
        elif rows.shape[1] != _estimator.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, expected {_estimator.n_features_in_}"
            )
        return rows if y is None else (rows, np.asarray(y))


__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "NotFittedError",
    "check_classification_targets",
    "validate_data",
]
