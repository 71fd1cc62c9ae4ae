"""Calibrated probabilities: scipy's optimum, scikit-learn's curve, and what they are for."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from wordsight.errors import InputError
from wordsight.transfer import ZeroShotClassifier
from wordsight.transfer.calibration import (
    FITS,
    fit_each_isotonic,
    fit_temperature,
    fit_top_isotonic,
)
from wordsight.transfer.rising_curve import fit_rising


def overconfident(
    seed: int, n: int = 2000, classes: int = 5, sharpness: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax at 1 / sharpness is exactly the chance of each class."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, classes))
    chance = np.exp(log_softmax(logits, axis=1))
    truth = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return sharpness * logits, np.minimum(truth, classes - 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(20, 200),
    classes=st.integers(2, 6),
    sharpness=st.floats(0.01, 100),
)
def test_the_temperature_is_scipys_minimum_of_the_log_loss(
    seed: int, n: int, classes: int, sharpness: float
):
    scores, truth = overconfident(seed, n, classes, sharpness)

    def loss(log_scale: float) -> float:
        rows = log_softmax(np.exp(log_scale) * scores, axis=1)
        return -float(rows[np.arange(n), truth].mean())

    found = fit_temperature(scores, truth).scale
    best = minimize_scalar(
        loss, bounds=(-12, 12), method="bounded", options={"xatol": 1e-10, "maxiter": 500}
    )
    if found > 0:
        assert loss(np.log(found)) <= best.fun + 1e-10
        if np.log(found) < 12:
            assert np.log(found) == pytest.approx(best.x, abs=1e-3)
    else:
        assert np.log(classes) <= best.fun + 1e-9


def test_the_temperature_recovers_the_scale_the_labels_were_drawn_with():
    scores, truth = overconfident(0, 40_000)
    assert fit_temperature(scores, truth).scale == pytest.approx(1 / 4, rel=0.02)


def test_scores_that_say_nothing_or_the_opposite_give_equal_chances():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=50)
    assert fit_temperature(np.zeros((50, 3)), truth).scale == 0
    against = -np.eye(3)[truth]
    calibration = fit_temperature(against, truth)
    np.testing.assert_allclose(calibration.probabilities(against), 1 / 3)


def test_scores_that_are_never_wrong_give_a_finite_scale():
    truth = np.arange(30) % 3
    calibration = fit_temperature(0.01 * np.eye(3)[truth], truth)
    assert np.isfinite(calibration.scale)
    assert calibration.probabilities(0.01 * np.eye(3)).max(axis=1).min() > 0.999


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 12), st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=40
    ),
    probes=st.lists(st.floats(-2, 15), min_size=1, max_size=10),
)
def test_the_rising_curve_is_scikit_learns(
    rows: list[tuple[int, float, float]], probes: list[float]
):
    isotonic = pytest.importorskip("sklearn.isotonic")
    x, y, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    expected = isotonic.IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=w)
    found = fit_rising(x, y, w)
    np.testing.assert_allclose(found(probes), expected.predict(probes), atol=1e-8)
    assert (np.diff(found.values) >= 0).all()
    assert (np.diff(found.places) > 0).all()


@pytest.mark.parametrize("method", sorted(FITS))
@pytest.mark.parametrize("sharpness", [0.2, 6.0])
def test_every_method_lowers_the_calibration_error_of_other_pictures(method: str, sharpness: float):
    scores, truth = overconfident(1, 4000, sharpness=sharpness)
    other, answers = overconfident(2, 4000, sharpness=sharpness)

    def error(rows: np.ndarray) -> float:
        sure, right = rows.max(axis=1), rows.argmax(axis=1) == answers
        bins = np.minimum((sure * 15).astype(int), 14)
        gaps = [abs((sure - right)[bins == place].sum()) for place in range(15)]
        return float(sum(gaps) / len(rows))

    before = error(np.exp(log_softmax(other, axis=1)))
    after = FITS[method](scores, truth).probabilities(other)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-12)
    assert before > 0.1
    assert error(after) < 0.035


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(2, 40), classes=st.integers(2, 5))
def test_temperature_and_top_curve_keep_every_decision(seed: int, n: int, classes: int):
    scores, truth = overconfident(seed, n, classes)
    for fit in (fit_temperature, fit_top_isotonic):
        found = fit(scores, truth).probabilities(scores)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
        best = found[np.arange(n), scores.argmax(axis=1)]
        assert (best >= found.max(axis=1) - 1e-12).all()


def test_the_top_curve_gives_the_share_that_was_right():
    scores, truth = overconfident(3, 500)
    found = fit_top_isotonic(scores, truth)
    sure = found.probabilities(scores).max(axis=1)
    right = scores.argmax(axis=1) == truth
    for level in np.unique(sure):
        same = sure == level
        if same.sum() > 20 and level > 0.5:
            assert right[same].mean() == pytest.approx(level, abs=1e-9)


def test_scores_far_apart_leave_no_class_without_a_number():
    scores, truth = overconfident(0, 50, 3)
    far = np.array([[1e6, 0.0, -1e6], [0.0, 0.0, 0.0]])
    for name in FITS:
        found = FITS[name](scores, truth).probabilities(far)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_a_class_that_is_named_too_often_is_corrected_by_curves_of_its_own():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=3000)
    scores = 2 * np.eye(3)[truth] + rng.normal(size=(3000, 3)) + [2.0, 0.0, 0.0]
    corrected = fit_each_isotonic(scores[::2], truth[::2]).probabilities(scores[1::2])
    before = (scores[1::2].argmax(axis=1) == truth[1::2]).mean()
    assert (corrected.argmax(axis=1) == truth[1::2]).mean() > before + 0.1


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        (np.zeros((3, 1)), [0, 0, 0], "two classes or more"),
        (np.zeros((0, 2)), np.zeros(0, int), "two classes or more"),
        (np.zeros(3), [0, 0, 0], "two classes or more"),
        (np.zeros((3, 2)), [0, 1], "of each of 3 pictures"),
        (np.zeros((3, 2)), ["a", "b", "a"], "column of the true class"),
        (np.zeros((3, 2)), [0, 1, 2], "within 0..1"),
        (np.full((3, 2), np.nan), [0, 1, 1], "finite"),
    ],
)
def test_labels_and_scores_that_do_not_fit_are_named(scores, truth, message):
    for fit in FITS.values():
        with pytest.raises(InputError, match=message):
            fit(scores, np.asarray(truth))


def test_a_class_without_pictures_has_no_curve():
    with pytest.raises(InputError, match="class 2 of 3 has no picture"):
        fit_each_isotonic(np.eye(3), [0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "as many targets"),
        (([1.0], [1.0, 2.0]), "as many targets"),
        (([1.0], [np.nan]), "targets must be"),
        (([[1.0]], [1.0]), "scores must be"),
        (([1.0], [1.0], [0.0]), "positive"),
    ],
)
def test_curves_need_numbers_of_one_length(arguments, message):
    with pytest.raises(InputError, match=message):
        fit_rising(*arguments)


def blobs(seed: int, noise: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["a", "b", "c"], 200)
    centres = np.repeat(np.random.default_rng(0).normal(size=(3, 8)), 200, axis=0)
    return centres + noise * rng.normal(size=(600, 8)), labels


@pytest.mark.parametrize("method", sorted(FITS))
def test_a_classifier_learns_its_calibration_from_labelled_pictures(method: str):
    X, y = blobs(1)
    plain = ZeroShotClassifier().fit(*blobs(0, noise=0.1))
    calibrated = plain.calibrate(X, y, method=method)
    assert plain.calibration is None
    expected = FITS[method](plain.scores(X), np.searchsorted(["a", "b", "c"], y))
    other, answers = blobs(2)
    chances = calibrated.predict_proba(other)
    np.testing.assert_allclose(chances, expected.probabilities(plain.scores(other)))
    log_loss = pytest.importorskip("sklearn.metrics").log_loss
    assert log_loss(answers, chances) < log_loss(answers, plain.predict_proba(other)) - 0.3
    best = chances.max(axis=1)
    column = np.searchsorted(["a", "b", "c"], calibrated.predict(other))
    np.testing.assert_allclose(chances[np.arange(600), column], best, atol=1e-9)


@pytest.mark.parametrize("method", ["temperature", "top_isotonic"])
def test_calibrating_what_is_sure_changes_no_answer(method: str):
    X, y = blobs(1)
    plain = ZeroShotClassifier().fit(*blobs(0, noise=0.1))
    np.testing.assert_array_equal(plain.calibrate(X, y, method=method).predict(X), plain.predict(X))


def test_a_calibrated_classifier_is_cloned_and_pickled():
    from sklearn.base import clone

    X, y = blobs(1)
    classifier = ZeroShotClassifier().fit(X, y).calibrate(X, y, method="top_isotonic")
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
    again = clone(classifier).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_calibration_names_what_it_cannot_use():
    X, y = blobs(1)
    classifier = ZeroShotClassifier().fit(X, y)
    with pytest.raises(InputError, match="unknown calibration 'temperature2'") as caught:
        classifier.calibrate(X, y, method="temperature2")
    assert caught.value.hint == "did you mean 'temperature'?"
    with pytest.raises(InputError, match="label 'd' is not one of the classes"):
        classifier.calibrate(X, ["d"] * len(X))
