"""Logistic regression finds the optimum that scikit-learn and scipy find by other methods."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wordsight
from wordsight.errors import InputError, MissingError
from wordsight.transfer.logistic import Logistic, LogisticProblem, fit_logistic

pytest.importorskip("scipy")


def blobs(
    n: int, width: int, num_classes: int, seed: int = 0, overlap: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Classes in features that vary thirty times as much in some directions as in others."""
    rng = np.random.default_rng(seed)
    centres = overlap * rng.normal(size=(num_classes, width))
    labels = np.arange(n) % num_classes
    return centres[labels] + rng.normal(size=(n, width)) * np.linspace(0.1, 3, width) + 1, labels


def objective(
    coef: np.ndarray,
    intercept: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    penalty: float,
    prior: np.ndarray | float = 0.0,
    weight: np.ndarray | float = 1.0,
) -> float:
    """The formula of the docstring, spelt out."""
    logits = X @ coef.T + intercept
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    losses = -np.log(shares[np.arange(len(y)), y])
    return float((weight * losses).sum() + penalty / 2 * ((coef - prior) ** 2).sum())


def sklearn_optimum(
    X: np.ndarray, y: np.ndarray, C: float, weight: np.ndarray | None = None, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """By Newton's method, to the last digits: another algorithm than ours."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its line search ends at the limits of rounding
        rival = LogisticRegression(C=C, solver="newton-cg", tol=1e-13, max_iter=10_000, **options)
        rival.fit(X, y, sample_weight=weight)
    intercept = np.broadcast_to(rival.intercept_, len(rival.coef_))
    return rival.coef_, intercept - intercept.mean() * (len(rival.coef_) > 1)


@pytest.mark.parametrize("penalty", [1e6, 1e3, 1.0, 1e-3, 1e-6])
@pytest.mark.parametrize(
    ("n", "width", "num_classes"), [(300, 20, 4), (60, 100, 3), (500, 40, 5)], ids=str
)
def test_the_optimum_is_scikit_learns_with_c_the_inverse_of_the_penalty(
    n, width, num_classes, penalty
):
    X, y = blobs(n, width, num_classes)
    coef, intercept = sklearn_optimum(X, y, 1 / penalty)
    found = fit_logistic(X, y, num_classes, penalty=penalty)
    np.testing.assert_allclose(found.coef, coef, atol=1e-4)
    np.testing.assert_allclose(found.intercept, intercept, atol=5e-4)
    least = objective(coef, intercept, X, y, penalty)
    assert found.loss == pytest.approx(least, rel=1e-6)
    assert found.loss == pytest.approx(
        objective(found.coef, found.intercept, X, y, penalty), rel=1e-6
    )


@pytest.mark.parametrize("penalty", [1e3, 1.0, 1e-4])
def test_for_two_classes_it_is_scikit_learns_with_c_twice_the_inverse(penalty):
    X, y = blobs(200, 12, 2)
    coef, intercept = sklearn_optimum(X, y, 2 / penalty)
    found = fit_logistic(X, y, 2, penalty=penalty)
    np.testing.assert_allclose(found.coef[1:] - found.coef[:1], coef, atol=1e-4)
    np.testing.assert_allclose(found.intercept[1] - found.intercept[0], intercept[0], atol=1e-4)
    np.testing.assert_allclose(found.coef.sum(axis=0), 0, atol=1e-6)


def test_sample_weights_and_no_intercept_are_scikit_learns_too():
    X, y = blobs(240, 15, 3)
    weight = np.random.default_rng(1).uniform(0, 3, len(y))
    weight[:10] = 0
    coef, _ = sklearn_optimum(X, y, 10.0, weight, fit_intercept=False)
    found = fit_logistic(X, y, 3, penalty=0.1, sample_weight=weight, intercept=False)
    np.testing.assert_allclose(found.coef, coef, atol=1e-4)
    assert not found.intercept.any()
    coef, intercept = sklearn_optimum(X, y, 10.0, weight)
    found = fit_logistic(X, y, 3, penalty=0.1, sample_weight=weight)
    np.testing.assert_allclose(found.coef, coef, atol=1e-4)
    np.testing.assert_allclose(found.intercept, intercept, atol=1e-4)


def test_a_weight_of_two_is_the_sample_twice():
    X, y = blobs(60, 8, 3)
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.concatenate([X, X[:20]]), np.concatenate([y, y[:20]])
    weighted = fit_logistic(X, y, 3, penalty=1.0, sample_weight=weight)
    np.testing.assert_allclose(weighted.coef, fit_logistic(*twice, 3, penalty=1.0).coef, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(6, 40),
    width=st.integers(1, 30),
    num_classes=st.integers(2, 4),
    exponent=st.floats(-3, 4),
    intercept=st.booleans(),
    has_prior=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_gradient_at_the_optimum_is_zero(
    n, width, num_classes, exponent, intercept, has_prior, seed
):
    X, y = blobs(n, width, num_classes, seed)
    penalty = 10.0**exponent
    prior = np.random.default_rng(seed).normal(size=(num_classes, width)) if has_prior else None
    pull = 0.0 if prior is None else prior
    found = fit_logistic(X, y, num_classes, penalty=penalty, prior=prior, intercept=intercept)
    logits = found.decide(X)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    off = shares - np.eye(num_classes)[y]
    gradient = off.T @ X + penalty * (found.coef - pull)
    # The loss is penalty-strongly convex: this bounds what is left to gain.
    gain = (gradient**2).sum() / (2 * penalty)
    assert gain <= 1e-6 * found.loss + 1e-9
    if intercept:
        assert np.abs(off.sum(axis=0)).max() < 1e-3 * n
        assert abs(found.intercept.sum()) < 1e-9


def test_a_strong_penalty_gives_the_prior_and_a_weak_one_forgets_it():
    X, y = blobs(200, 10, 3, overlap=0.5)
    prior = np.random.default_rng(2).normal(size=(3, 10))
    np.testing.assert_allclose(
        fit_logistic(X, y, 3, penalty=1e9, prior=prior).coef, prior, atol=1e-5
    )
    free = fit_logistic(X, y, 3, penalty=1e-4)
    pulled = fit_logistic(X, y, 3, penalty=1e-4, prior=prior - prior.mean(axis=0))
    np.testing.assert_allclose(pulled.coef, free.coef, atol=0.02)


def test_the_optimum_with_a_prior_is_the_one_that_scipy_finds_in_plain_coordinates():
    from scipy.optimize import minimize

    X, y = blobs(40, 6, 3)
    prior = np.random.default_rng(3).normal(size=(3, 6))

    def value(flat: np.ndarray) -> float:
        weights = flat.reshape(3, 7)
        return objective(weights[:, :6], weights[:, 6], X, y, 0.5, prior)

    plain = minimize(value, np.zeros(21), method="BFGS", options={"gtol": 1e-6})
    found = fit_logistic(X, y, 3, penalty=0.5, prior=prior)
    assert found.loss == pytest.approx(plain.fun, rel=1e-6)
    np.testing.assert_allclose(found.coef, plain.x.reshape(3, 7)[:, :6], atol=1e-3)


def test_a_start_changes_the_time_and_not_the_optimum():
    X, y = blobs(300, 20, 4)
    cold = fit_logistic(X, y, 4, penalty=1e-2)
    near = fit_logistic(X, y, 4, penalty=1.2e-2)
    warm = fit_logistic(X, y, 4, penalty=1e-2, start=near)
    again = fit_logistic(X, y, 4, penalty=1e-2, start=cold)
    assert again.iterations <= 5
    soon = [
        fit_logistic(X, y, 4, penalty=1e-2, start=start, max_iterations=15).loss
        for start in (near, None)
    ]
    assert soon[0] - cold.loss < 0.01 * (soon[1] - cold.loss)
    np.testing.assert_allclose(warm.coef, cold.coef, atol=1e-5)


def test_one_problem_serves_many_penalties():
    X, y = blobs(120, 9, 3)
    problem = LogisticProblem(X, y, 3)
    for penalty in (100.0, 1e-2, 1.0):
        once = fit_logistic(X, y, 3, penalty=penalty)
        np.testing.assert_array_equal(problem.fit(penalty).coef, once.coef)


def test_float32_features_are_computed_with_in_float64():
    X, y = blobs(100, 9, 3)
    narrow = X.astype(np.float32)
    np.testing.assert_array_equal(
        fit_logistic(narrow, y, 3, penalty=1.0).coef,
        fit_logistic(narrow.astype(np.float64), y, 3, penalty=1.0).coef,
    )


def test_the_number_of_steps_is_limited():
    X, y = blobs(300, 20, 4)
    assert fit_logistic(X, y, 4, penalty=1e-6, max_iterations=7).iterations <= 7


def test_features_that_are_all_the_same_leave_the_intercept_only():
    y = np.array([0, 0, 0, 1])
    found = fit_logistic(np.ones((4, 3)), y, 2, penalty=1.0)
    np.testing.assert_allclose(found.coef, 0, atol=1e-9)
    assert found.intercept[0] - found.intercept[1] == pytest.approx(np.log(3), abs=1e-5)


def test_scores_far_beyond_what_exp_can_hold_are_no_trouble():
    X, y = blobs(60, 5, 3)
    prior = 1e4 * np.random.default_rng(0).normal(size=(3, 5))
    found = fit_logistic(X, y, 3, penalty=1e-2, prior=prior)
    assert np.isfinite(found.loss)
    assert found.loss < objective(np.zeros((3, 5)), np.zeros(3), X, y, 1e-2, prior)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalty": 0.0}, "penalty is 0.0; expected a number above 0"),
        ({"penalty": np.nan}, "penalty is nan"),
        ({"num_classes": 1}, "1 class given"),
        ({"num_classes": 4}, "class 3 has no sample"),
        ({"y": np.array([0, 1, 5])}, "y holds 0 to 5; expected 0 to 2"),
        ({"y": np.array([0, 1])}, r"of shape \(2,\); expected 3 places"),
        ({"y": np.array([0.0, 1.0, 2.0])}, "y is float64"),
        ({"X": np.array([[0.0], [np.nan], [1.0]])}, r"features\[1, 0\] is nan"),
        ({"X": np.zeros(3)}, r"expected \(samples, features\)"),
        ({"prior": np.zeros((2, 1))}, r"prior has shape \(2, 1\)"),
        ({"prior": np.full((3, 1), np.inf)}, "prior holds numbers that are not finite"),
        ({"sample_weight": np.array([1.0, -1.0, 1.0])}, "none of them negative"),
        ({"sample_weight": np.zeros(3)}, "zero everywhere"),
        ({"sample_weight": np.array([1.0, 1.0, 0.0])}, "class 2 has no sample"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        (
            {"start": Logistic(np.zeros((3, 2)), np.zeros(3), 0.0, 0)},
            r"start.coef has shape \(3, 2\)",
        ),
    ],
)
def test_a_mistake_is_named(changes, message):
    given = {"X": np.arange(3.0)[:, None], "y": np.arange(3), "num_classes": 3, "penalty": 1.0}
    given |= changes
    with pytest.raises(InputError, match=message):
        fit_logistic(given.pop("X"), given.pop("y"), given.pop("num_classes"), **given)


def test_without_scipy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingError) as caught:
        fit_logistic(np.eye(3), np.arange(3), 3, penalty=1.0)
    assert caught.value.hint == 'pip install "wordsight[sklearn]"'


def test_no_other_module_uses_scipy():
    root = Path(wordsight.__file__).parent
    users = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"(import|from|require\(\") ?\"?scipy", path.read_text(encoding="utf-8"))
    ]
    assert users == ["transfer/logistic.py"]
