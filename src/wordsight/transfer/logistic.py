"""Logistic regression by scipy's L-BFGS, in coordinates in which it takes few steps.

Shape letters: N samples, E features, C classes, R coordinates (the smaller of N and E, and one
more with an intercept).

Features of a tower vary a hundred times as much in some directions as in others, and L-BFGS then
takes thousands of steps. Two changes of coordinates, both exact, prevent that: features are
centred (the intercept, which is not penalised, takes the mean up) and turned to their principal
axes (the penalty does not notice a rotation). What is left is one scale for each class and axis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.packages import require
from wordsight.transfer.samples import Floats, check_classes, check_samples, checked_matrix

MAX_ITERATIONS = 1000
"""As many as the paper allows."""
TOLERANCE = 1e-7
_MEMORY = 20
"""Steps that L-BFGS remembers."""
_NEW_SCALE = 0.5
"""Once the loss fell below this share, the curvature is measured again."""
_LEAST_CURVATURE = 1e-12


@dataclass(frozen=True, slots=True)
class Logistic:
    """A linear classifier, and how it was found."""

    coef: Floats
    """(C, E)"""
    intercept: Floats
    """(C,), of sum 0"""
    loss: float
    """What was minimised, penalty included."""
    iterations: int
    """Steps of L-BFGS."""

    def decide(self, X: NDArray[np.floating]) -> Floats:
        """Return the logits (N, C) of features (N, E)."""
        return np.asarray(X, np.float64) @ self.coef.T + self.intercept


def fit_logistic(  # noqa: PLR0913 - every one is a part of the problem
    X: NDArray[np.floating],
    y: NDArray[np.integer],
    num_classes: int,
    *,
    penalty: float,
    prior: NDArray[np.floating] | None = None,
    start: Logistic | None = None,
    intercept: bool = True,
    sample_weight: NDArray[np.floating] | None = None,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Logistic:
    """Minimise sum_i w_i CE_i(W, b) + penalty / 2 * ||W - prior||^2 over W (C, E) and b (C,).

    CE_i is the cross-entropy of the softmax over the classes. This is scikit-learn's problem with
    C = 1 / penalty; for two classes, where scikit-learn has one vector instead of two, it is the
    one with C = 2 / penalty, and its vector is the difference of ours.

    For many penalties on the same samples, `LogisticProblem` does the common part once.

    Args:
        X: features, (N, E); computed with in float64.
        y: places of the classes, (N,), within 0..num_classes-1.
        num_classes: C, two or more.
        penalty: weight of the penalty, > 0. The intercept is not penalised.
        prior: what W is pulled to, (C, E); zeros if not given.
        start: where to begin; the prior if not given. It changes the time, not the optimum.
        intercept: whether there is b; otherwise it is zeros.
        sample_weight: w, (N,), not negative; ones if not given.
        max_iterations: steps of L-BFGS.
        tolerance: largest entry of the gradient, in coordinates in which the loss at the start is
            1 and the curvature about 1: an entry of size t promises a gain of about t^2 / 2.

    Raises:
        InputError: for shapes that do not fit, numbers that are not finite, a penalty that is not
            positive, or an intercept for a class without samples.
        MissingError: if scipy is not installed.
    """
    problem = LogisticProblem(
        X, y, num_classes, prior=prior, intercept=intercept, sample_weight=sample_weight
    )
    return problem.fit(penalty, start=start, max_iterations=max_iterations, tolerance=tolerance)


class LogisticProblem:
    """Samples made ready to be fitted with one penalty after the other; see `fit_logistic`."""

    def __init__(
        self,
        X: NDArray[np.floating],
        y: NDArray[np.integer],
        num_classes: int,
        *,
        prior: NDArray[np.floating] | None = None,
        intercept: bool = True,
        sample_weight: NDArray[np.floating] | None = None,
    ):
        rows = np.asarray(X, np.float64)
        weights = np.ones(len(rows)) if sample_weight is None else sample_weight
        self._weights = np.asarray(weights, np.float64)
        self._truth = np.asarray(y)
        self._rows = np.arange(len(rows))
        self._num_classes = num_classes
        self._intercept = intercept
        check_samples(rows, self._truth, num_classes, self._weights)
        if intercept:
            check_classes(self._truth, num_classes, self._weights)
        self._prior = np.zeros((num_classes, rows.shape[1]))
        if prior is not None:
            self._prior = checked_matrix(prior, self._prior.shape, "prior")
        self._mean = np.zeros(rows.shape[1])
        if intercept:
            self._mean = self._weights @ rows / self._weights.sum()
        centred = rows - self._mean
        self._base = None if prior is None else centred @ self._prior.T
        self._turn_to_axes(centred)

    def fit(
        self,
        penalty: float,
        *,
        start: Logistic | None = None,
        max_iterations: int = MAX_ITERATIONS,
        tolerance: float = TOLERANCE,
    ) -> Logistic:
        """Find the optimum for one penalty; arguments and errors as for `fit_logistic`."""
        if not (np.isfinite(penalty) and penalty > 0):
            raise InputError(f"penalty is {penalty}; expected a number above 0")
        if max_iterations < 1:
            raise InputError(f"max_iterations is {max_iterations}; expected 1 or more")
        minimize = require("scipy.optimize", extra="sklearn").minimize
        weights = self._begin(start)
        penalties = np.full(self._spread.shape, penalty)
        if self._intercept:
            penalties[-1] = 0.0
        iterations = 0
        while True:
            loss, scale = self._scale(weights, penalties)
            if loss == 0:
                break
            found = minimize(
                self._scaled(loss, scale, penalties),
                (weights / scale).ravel(),
                jac=True,
                method="L-BFGS-B",
                options={
                    "maxiter": max_iterations - iterations,
                    "gtol": tolerance,
                    "ftol": 0.0,
                    "maxcor": _MEMORY,
                },
            )
            weights = found.x.reshape(scale.shape) * scale
            iterations += int(found.nit)
            loss *= float(found.fun)
            if found.fun > _NEW_SCALE or iterations >= max_iterations:
                break
        return self._in_features(weights, loss, iterations)

    def _turn_to_axes(self, centred: Floats) -> None:
        num_rows, width = centred.shape
        basis: Floats | None = None
        if num_rows < width:
            # W - prior is a sum of samples at the optimum, so coordinates off their span are idle.
            basis = np.linalg.qr(centred.T)[0]
            centred = centred @ basis
        spread, turn = np.linalg.eigh((centred.T * self._weights) @ centred)
        self._axes: Floats = turn if basis is None else basis @ turn
        columns = [centred @ turn]
        self._spread: Floats = np.maximum(spread, 0.0)
        if self._intercept:
            columns.append(np.ones((num_rows, 1)))
            self._spread = np.append(self._spread, self._weights.sum())
        self._coordinates: Floats = np.hstack(columns)

    def _begin(self, start: Logistic | None) -> Floats:
        weights = np.zeros((self._num_classes, len(self._spread)))
        if start is not None:
            coef = checked_matrix(start.coef, self._prior.shape, "start.coef")
            weights[:, : self._axes.shape[1]] = (coef - self._prior) @ self._axes
            if self._intercept:
                weights[:, -1] = start.intercept + coef @ self._mean
        return weights

    def _in_features(self, weights: Floats, loss: float, iterations: int) -> Logistic:
        coef = self._prior + weights[:, : self._axes.shape[1]] @ self._axes.T
        intercept = np.zeros(self._num_classes)
        if self._intercept:
            intercept = weights[:, -1] - coef @ self._mean
            intercept -= intercept.mean()
        return Logistic(coef, intercept, loss, iterations)

    def _residuals(self, weights: Floats, penalties: Floats) -> tuple[float, Floats]:
        """Return the loss, and by how much the softmax is off for every class (N, C).

        All is computed from what the wrong classes get: 1 minus the share of the right one has no
        digits left once a sample is almost certain, and with a small penalty all of them are.
        """
        scores = self._coordinates @ weights.T
        if self._base is not None:
            scores += self._base
        scores -= scores.max(axis=1, keepdims=True)
        right_score = scores[self._rows, self._truth]
        shares = np.exp(scores, out=scores)
        right = shares[self._rows, self._truth]
        shares[self._rows, self._truth] = 0.0
        wrong = shares.sum(axis=1)
        total = wrong + right
        losses: Floats = np.log(total) - right_score
        np.copyto(losses, np.log1p(wrong), where=right == 1.0)
        loss = float(self._weights @ losses + 0.5 * (weights * weights).sum(axis=0) @ penalties)
        shares[self._rows, self._truth] = -wrong
        shares /= total[:, None]
        return loss, shares

    def _scale(self, weights: Floats, penalties: Floats) -> tuple[float, Floats]:
        """Return the loss, and the step (C, R) along every axis that would change it by half."""
        loss, residuals = self._residuals(weights, penalties)
        off = np.abs(residuals)
        curvature = self._weights @ (off * (1 - off)) / self._weights.sum()  # mean of p (1 - p)
        curvature = np.maximum(curvature, _LEAST_CURVATURE)
        bend = curvature[:, None] * self._spread + penalties
        return loss, np.sqrt(loss / np.maximum(bend, _LEAST_CURVATURE * bend.max()))

    def _scaled(
        self, unit: float, scale: Floats, penalties: Floats
    ) -> Callable[[Floats], tuple[float, Floats]]:
        """Return loss and gradient as a function of weights divided by `scale`."""
        factor = scale / unit

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(scale.shape) * scale
            loss, residuals = self._residuals(weights, penalties)
            residuals *= self._weights[:, None]
            gradient = residuals.T @ self._coordinates
            gradient += penalties * weights
            gradient *= factor
            return loss / unit, gradient.ravel()

        return loss_and_gradient
