"""Saying "none of these": the promised rate of false rejections holds, and scores are formulas."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from wordsight import load
from wordsight.engine import Model
from wordsight.errors import InputError
from wordsight.transfer import ZeroShotClassifier
from wordsight.transfer.estimator import NotFittedError
from wordsight.transfer.open_set import (
    SCORES,
    above_none,
    energy,
    false_positives,
    margin,
    max_cosine,
    max_softmax,
    separation,
    threshold_for,
)
from wordsight.transfer.open_set_classifier import OpenSetClassifier


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(0, 8),
    classes=st.integers(2, 6),
    scale=st.floats(0.1, 1000),
)
def test_scores_are_their_formulas(seed: int, n: int, classes: int, scale: float):
    rng = np.random.default_rng(seed)
    rows = scale * rng.normal(size=(n, classes))
    none = scale * rng.normal(size=(n, 3))
    ordered = np.sort(rows, axis=1)
    np.testing.assert_allclose(max_softmax(rows), special.softmax(rows, axis=1).max(axis=1))
    np.testing.assert_allclose(energy(rows), special.logsumexp(rows, axis=1))
    np.testing.assert_array_equal(max_cosine(rows), ordered[:, -1])
    np.testing.assert_array_equal(margin(rows), ordered[:, -1] - ordered[:, -2])
    np.testing.assert_array_equal(above_none(rows, none), ordered[:, -1] - none.max(axis=1))


@pytest.mark.parametrize(("n", "rate"), [(39, 0.05), (100, 0.05), (60, 0.2), (19, 0.05)])
def test_new_pictures_are_rejected_as_rarely_as_promised_and_the_interval_holds_the_rate(
    n: int, rate: float
):
    draws = np.random.default_rng(0).normal(size=(20_000, n))
    first = threshold_for(draws[0], rate)
    k = math.floor(rate * (n + 1) + 1e-9)
    smallest = np.sort(draws, axis=1)[:, k - 1]
    assert first.value == smallest[0]
    true_rates = stats.norm.cdf(smallest)
    standard_error = true_rates.std() / math.sqrt(len(true_rates))
    assert true_rates.mean() == pytest.approx(k / (n + 1), abs=4 * standard_error)
    assert k / (n + 1) <= rate + 1e-12
    low, high = first.false_rejection.low, first.false_rejection.high
    assert 0.945 <= ((low <= true_rates) & (true_rates <= high)).mean() <= 0.955


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 300),
    rate=st.floats(0.001, 0.999),
    seed=st.integers(0, 99),
    ties=st.integers(1, 400),
)
def test_the_threshold_is_the_order_statistic_and_its_interval_the_beta_distribution(
    n: int, rate: float, seed: int, ties: int
):
    values = np.random.default_rng(seed).integers(ties, size=n).astype(float)
    k = math.floor(rate * (n + 1) + 1e-9)
    if k < 1:
        with pytest.raises(InputError, match="cannot promise") as caught:
            threshold_for(values, rate)
        needed = int(caught.value.hint.split()[1])
        assert math.floor(rate * (needed + 1) + 1e-9) >= 1
        assert math.floor(rate * needed + 1e-9) < 1
        return
    found = threshold_for(values, rate)
    assert found.value == sorted(values)[k - 1]
    assert found.rejects(values).sum() <= k - 1
    beta = stats.beta(k, n + 1 - k)
    assert found.false_rejection.value == pytest.approx(beta.mean())
    assert found.false_rejection.low == pytest.approx(beta.ppf(0.025), abs=1e-9)
    assert found.false_rejection.high == pytest.approx(beta.ppf(0.975), abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        ([], 0.05, "0 pictures cannot promise"),
        ([1.0] * 18, 0.05, "18 pictures cannot promise a false-rejection rate of 0.05"),
        ([1.0] * 30, 0.0, "between 0 and 1"),
        ([1.0] * 30, 1.0, "between 0 and 1"),
        ([1.0, np.nan], 0.5, "finite"),
        ([[1.0]], 0.5, "list of finite scores"),
    ],
)
def test_a_rate_that_cannot_be_promised_is_refused(scores, rate, message):
    with pytest.raises(InputError, match=message):
        threshold_for(scores, rate)


@settings(max_examples=8, deadline=None)
@given(
    known=st.lists(st.integers(0, 9), min_size=2, max_size=40),
    other=st.lists(st.integers(0, 9), min_size=2, max_size=40),
)
def test_auroc_and_fpr_are_what_they_are_by_counting(known: list[int], other: list[int]):
    wins = sum((k > o) + (k == o) / 2 for k in known for o in other)
    found = separation(known, other)
    assert found.auroc.value == pytest.approx(wins / len(known) / len(other))
    allowed = [t for t in known if sum(k >= t for k in known) >= 0.95 * len(known)]
    expected = sum(o >= max(allowed) for o in other) / len(other)
    assert found.fpr_at_95_tpr.value == pytest.approx(expected)
    assert found.fpr_at_95_tpr.low <= expected <= found.fpr_at_95_tpr.high
    assert false_positives(np.array(known, float), np.array(other, float)) == expected


def test_the_fpr_is_where_scikit_learns_curve_first_reaches_95_percent():
    roc_curve = pytest.importorskip("sklearn.metrics").roc_curve
    rng = np.random.default_rng(0)
    known, other = 1.5 + rng.normal(size=200), rng.normal(size=300)
    false, true, _ = roc_curve(np.repeat([1, 0], [200, 300]), np.concatenate([known, other]))
    expected = false[np.argmax(true >= 0.95)]
    assert separation(known, other).fpr_at_95_tpr.value == pytest.approx(expected)


def directions(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of three known classes with their labels, and pictures of two others."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(["a", "b", "c"], count)
    known = np.eye(5)[:3].repeat(count, axis=0) + 0.15 * rng.normal(size=(3 * count, 5))
    other = np.eye(5)[3:].repeat(count, axis=0) + 0.15 * rng.normal(size=(2 * count, 5))
    return known, labels, other


@pytest.mark.parametrize("score", sorted(SCORES))
def test_pictures_of_other_classes_get_the_rejected_answer(score: str):
    known, _, other = directions(0, 100)
    base = ZeroShotClassifier(scale=5.0).fit(np.eye(5)[:3], ["a", "b", "c"])
    classifier = OpenSetClassifier(base, score=score, false_rejection=0.1).fit(known)
    assert (classifier.predict(other) == "none of these").mean() > 0.8
    fresh, answers, _ = directions(1, 100)
    found = classifier.predict(fresh)
    rejected = found == "none of these"
    assert abs(rejected.mean() - 0.1) < 0.06
    assert (found[~rejected] == answers[~rejected]).mean() > 0.98
    expected = SCORES[score](base.scores(fresh)) < classifier.threshold_.value
    np.testing.assert_array_equal(rejected, expected)
    np.testing.assert_array_equal(
        classifier.score_samples(fresh), SCORES[score](base.scores(fresh))
    )


def test_numbered_classes_are_rejected_as_minus_one_or_as_you_say():
    known, _, other = directions(0, 100)
    base = ZeroShotClassifier().fit(np.eye(5)[:3], [0, 1, 2])
    classifier = OpenSetClassifier(base).fit(known)
    assert set(classifier.predict(other).tolist()) >= {-1}
    assert classifier.predict(known).dtype.kind == "i"
    classifier.set_params(rejected=7)
    assert set(classifier.predict(other).tolist()) >= {7}
    classifier.set_params(rejected=1)
    with pytest.raises(InputError, match="is one of the classes"):
        classifier.predict(other)


def test_it_is_cloned_pickled_and_searched_like_an_estimator():
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    known, labels, other = directions(0, 100)
    base = ZeroShotClassifier().fit(np.eye(5)[:3], ["a", "b", "c"])
    classifier = OpenSetClassifier(base, score="energy").fit(known)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict(other), classifier.predict(other))
    fresh = clone(classifier)
    assert fresh.score == "energy"
    assert not hasattr(fresh, "threshold_")
    classifier.set_params(classifier__scale=3.0)
    assert classifier.classifier.scale == 3.0

    def caught(estimator: OpenSetClassifier, X: np.ndarray, y: np.ndarray) -> float:
        return float((estimator.predict(other) == "none of these").mean())

    class Ready(OpenSetClassifier):
        """Its classifier is fitted anew in every fold, as a clone forgets what it learnt."""

        def fit(self, X, y=None):
            self.classifier.fit(np.eye(5)[:3], ["a", "b", "c"])
            return super().fit(X, y)

    search = GridSearchCV(
        Ready(ZeroShotClassifier()), {"score": ["max_cosine", "margin"]}, scoring=caught, cv=3
    )
    assert search.fit(known, labels).best_score_ > 0.5


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny / "tiny", engine="onnxruntime")


def test_sentences_about_none_of_the_classes_are_a_score(model: Model, drawn: Path):
    pictures = [drawn / f"{n}.png" for n in range(24)]
    base = ZeroShotClassifier(model, ["red circle", "blue square"])
    none = ["a green cross", "an empty sheet"]
    classifier = OpenSetClassifier(base, score="above_none", none=none, false_rejection=0.25).fit(
        pictures
    )
    rows = model.encode_image(pictures).astype(np.float64)
    best = (rows @ base.class_vectors_.T).max(axis=1)
    best_none = (rows @ model.encode_text(none).T.astype(np.float64)).max(axis=1)
    expected = model.logit_scale * (best - best_none)
    np.testing.assert_allclose(classifier.score_samples(pictures), expected, atol=1e-3)
    answers = classifier.predict(pictures)
    assert (answers == "none of these").sum() == 5
    assert classifier.threshold_.false_rejection.value == 6 / 25


def test_what_is_missing_is_named(model: Model):
    known, _, _ = directions(0, 30)
    base = ZeroShotClassifier().fit(np.eye(5)[:3], ["a", "b", "c"])
    with pytest.raises(InputError, match="a classifier is missing"):
        OpenSetClassifier().fit(known)
    with pytest.raises(InputError, match="unknown score 'energy2'") as caught:
        OpenSetClassifier(base, score="energy2").fit(known)
    assert caught.value.hint == "did you mean 'energy'?"
    with pytest.raises(InputError, match="needs a model and sentences"):
        OpenSetClassifier(base, score="above_none", none=["x"]).fit(known)
    with pytest.raises(InputError, match="needs a model and sentences"):
        OpenSetClassifier(ZeroShotClassifier(model, ["a", "b"]), score="above_none").fit(known)
    for ask in (OpenSetClassifier(base).predict, OpenSetClassifier(base).score_samples):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            ask(known)
