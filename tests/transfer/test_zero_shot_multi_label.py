"""Several labels a picture: Platt's sigmoid as scikit-learn fits it, thresholds by brute force."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight import load
from wordsight.engine import Model
from wordsight.errors import InputError
from wordsight.transfer.multi_label import MultiLabelClassifier, best_f1_threshold
from wordsight.transfer.sigmoid import fit_sigmoid

LABELS = ["red circle", "blue square", "green cross"]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(4, 80),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
    separation=st.floats(-3, 30),
)
def test_the_sigmoid_is_platts_optimum(
    seed: int, n: int, scale: float, shift: float, separation: float
):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    marks = rng.permutation(n) < rng.integers(1, n)
    x = rng.normal(size=n) + separation * marks
    found = fit_sigmoid(scale * (x + shift), marks)
    positives, negatives = marks.sum(), (~marks).sum()
    target = np.where(marks, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(weights: np.ndarray) -> float:
        logits = weights[0] * x + weights[1]
        return float((np.logaddexp(0, logits) - target * logits).sum())

    here = np.array([found.slope * scale, found.offset + found.slope * scale * shift])
    best = minimize(
        loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11}
    )
    assert loss(here) <= best.fun + 1e-7
    chances = found(scale * (x + shift))
    np.testing.assert_allclose(chances, 1 / (1 + np.exp(-(here[0] * x + here[1]))), atol=1e-9)


def test_the_sigmoid_is_the_one_of_scikit_learns_calibration():
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(0)
    marks = np.arange(200) < 70
    x = rng.normal(size=200) + 1.5 * marks
    slope, offset = calibration._sigmoid_calibration(x, marks.astype(float))
    found = fit_sigmoid(x, marks)
    assert found.slope == pytest.approx(-slope, rel=1e-3)
    assert found.offset == pytest.approx(-offset, rel=1e-3)


def test_scores_that_are_all_alike_give_the_share_of_positives():
    found = fit_sigmoid(np.full(10, 3.0), np.arange(10) < 2)
    mean = (2 * 3 / 4 + 8 * 1 / 10) / 10
    assert found(3.0) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(
    ("scores", "marks", "message"),
    [
        ([1.0, 2.0], [True, True], "expected both sides, got 2 positive, 0 negative"),
        ([1.0, 2.0], [False, False], "0 positive, 2 negative"),
        ([1.0], [True, False], "as many marks"),
        ([1.0, np.inf], [True, False], "finite scores"),
    ],
)
def test_a_sigmoid_needs_both_sides(scores, marks, message):
    with pytest.raises(InputError, match=message):
        fit_sigmoid(scores, marks)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_the_threshold_has_the_best_f1_that_any_has(rows: list[tuple[int, bool]]):
    values = np.array([value / 9 for value, _ in rows])
    marks = np.array([mark for _, mark in rows])
    if not marks.any():
        with pytest.raises(InputError, match="one of them true"):
            best_f1_threshold(values, marks)
        return

    def f1(threshold: float) -> float:
        taken = values >= threshold
        return 2 * (taken & marks).sum() / (taken.sum() + marks.sum())

    threshold = best_f1_threshold(values, marks)
    every = [f1(t) for t in values]
    assert f1(threshold) == pytest.approx(max(every))
    assert all(t <= threshold for t in values if f1(t) < max(every) and t < values[marks].min())


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


@pytest.fixture(scope="module")
def pictures(drawn: Path) -> list[Path]:
    return [drawn / f"{n}.png" for n in range(24)]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_without_fit_it_is_the_softmax_against_the_negation(model: Model, pictures: list[Path]):
    classifier = MultiLabelClassifier(
        model,
        LABELS,
        negations={"red circle": ["no circle", "nothing red"]},
        background=["an empty sheet", "paper"],
        templates=["a {}."],
    )
    found = classifier.predict_proba(pictures)
    rows = model.encode_image(pictures).astype(np.float64)
    labels = model.encode_text([f"a {name}." for name in LABELS]).astype(np.float64)
    own = unit(model.encode_text(["no circle", "nothing red"]).astype(np.float64).mean(axis=0))
    other = unit(model.encode_text(["an empty sheet", "paper"]).astype(np.float64).mean(axis=0))
    against = np.stack([own, other, other])
    yes, no = (np.exp(model.logit_scale * rows @ side.T) for side in (labels, against))
    np.testing.assert_allclose(found, yes / (yes + no), atol=1e-4)
    np.testing.assert_array_equal(classifier.predict(pictures), found >= 0.5)
    np.testing.assert_allclose(classifier.predict_proba(rows), found, atol=1e-5)
    assert classifier.labels_ == tuple(LABELS)


def test_without_background_labels_are_told_from_their_mean(model: Model, pictures: list[Path]):
    classifier = MultiLabelClassifier(model, LABELS, templates=["{}"])
    labels = model.encode_text(LABELS).astype(np.float64)
    difference = labels - unit(labels.mean(axis=0))
    rows = model.encode_image(pictures).astype(np.float64)
    expected = model.logit_scale * rows @ difference.T
    np.testing.assert_allclose(classifier.decision_function(pictures), expected, atol=1e-3)


def test_fitting_makes_probabilities_true_and_chooses_thresholds(model: Model):
    rng = np.random.default_rng(0)
    classifier = MultiLabelClassifier(model, [*LABELS, "line", "dot"])
    rows = unit(rng.normal(size=(600, model.embed_dim)))
    margins = classifier.decision_function(rows)
    levels = margins.std(axis=0)
    marks = rng.random(margins.shape) < 1 / (1 + np.exp(-(2 * margins / levels - 1)))
    marks[:, 3], marks[:, 4] = False, True
    assert classifier.fit(rows[:400], marks[:400]) is classifier
    assert classifier.learnt_.tolist() == [True, True, True, False, False]
    assert classifier.thresholds_[3:].tolist() == [0.5, 0.5]
    chances = classifier.predict_proba(rows[400:])
    truth = 1 / (1 + np.exp(-(2 * margins / levels - 1)))[400:]
    assert np.abs(chances - truth)[:, :3].mean() < 0.06
    np.testing.assert_array_equal(
        classifier.predict(rows), classifier.predict_proba(rows) >= classifier.thresholds_
    )
    for k in range(3):
        learnt = classifier.predict_proba(rows[:400])[:, k]
        assert classifier.thresholds_[k] == best_f1_threshold(learnt, marks[:400, k])
    with pytest.raises(InputError, match=r"expected marks .* of shape \(4, 5\)") as caught:
        classifier.fit(rows[:4], marks[:4, :2])
    assert (
        caught.value.hint
        == "one column for each of red circle, blue square, green cross, line, dot"
    )
    with pytest.raises(InputError, match="expected marks"):
        classifier.fit(rows[:4], np.full((4, 5), 2))


def test_it_is_cloned_and_changed_like_an_estimator(model: Model, pictures: list[Path]):
    from sklearn.base import clone

    classifier = MultiLabelClassifier(model, LABELS)
    before = classifier.predict_proba(pictures)
    fresh = MultiLabelClassifier(**classifier.get_params())
    np.testing.assert_array_equal(fresh.predict_proba(pictures), before)
    classifier.set_params(background=["an empty sheet"])
    assert np.abs(classifier.predict_proba(pictures) - before).max() > 1e-4
    assert clone(MultiLabelClassifier(labels=LABELS, language="ja")).language == "ja"
    assert pickle.loads(pickle.dumps(MultiLabelClassifier(labels=LABELS))).labels == LABELS


def test_what_is_missing_is_named(model: Model):
    with pytest.raises(InputError, match="model or labels are missing"):
        MultiLabelClassifier(model).predict([])
    with pytest.raises(InputError, match="negations of 'red circel'") as caught:
        MultiLabelClassifier(model, LABELS, negations={"red circel": ["x"]}).predict([])
    assert "red circle" in caught.value.hint
