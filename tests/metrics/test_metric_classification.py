"""Accuracy and its relatives: against scikit-learn and brute force."""

import itertools
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.metrics import (
    accuracy,
    balanced_accuracy,
    confusion,
    hits_in_top,
    mean_per_class,
    mean_top1_top5,
    precision,
    recall,
    specificity,
    top_k_accuracy,
    wilson,
)

labels = st.lists(st.sampled_from(["crack", "scratch", "good"]), min_size=2, max_size=40)
pairs_of_labels = labels.flatmap(
    lambda truth: st.tuples(
        st.just(truth), st.lists(st.sampled_from(truth), min_size=len(truth), max_size=len(truth))
    )
)


@settings(deadline=None)
@given(pairs_of_labels)
def test_accuracies_are_those_of_scikit_learn(both):
    truth, predicted = both
    assert accuracy(predicted, truth).value == pytest.approx(
        sklearn.metrics.accuracy_score(truth, predicted)
    )
    if len(set(truth)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = sklearn.metrics.balanced_accuracy_score(truth, predicted)
        ours = balanced_accuracy(predicted, truth)
        assert ours.value == pytest.approx(reference)
        assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_balanced_accuracy_claims_no_certainty_from_a_few_right_answers():
    estimate = balanced_accuracy(["a", "b", "b"], ["a", "b", "b"])
    assert estimate.value == estimate.high == 1
    assert estimate.low < 0.8


def test_the_interval_of_balanced_accuracy_holds_the_truth_95_times_in_100():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [60, 25, 15])
    chance = np.array([0.9, 0.7, 0.5])
    covered = 0
    for _ in range(600):
        right = random.random(len(truth)) < chance[truth]
        estimate = balanced_accuracy(np.where(right, truth, 9), truth)
        covered += estimate.low <= chance.mean() <= estimate.high
    assert 0.93 <= covered / 600 <= 0.98


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([], [], "predicted holds no labels"),
        (["a"], ["a", "b"], "1 predictions for 2 true labels"),
        (["a", "b"], [0, 1], "all words or all numbers"),
        (["a", float("nan")], ["a", "b"], r"predicted: label 1 is missing \(nan\)"),
        (["a", "b"], ["a", None], r"truth: label 1 is missing \(None\)"),
        ([1, "b"], ["a", "b"], "list of words or a list of numbers"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(predicted, truth, message):
    for metric in (accuracy, balanced_accuracy):
        with pytest.raises(InputError, match=message):
            metric(predicted, truth)


def test_balanced_accuracy_of_one_class_is_refused():
    with pytest.raises(InputError, match="needs two classes or more, the truth has only good"):
        balanced_accuracy(["good", "crack"], ["good", "good"])


def test_the_papers_mean_per_class_is_balanced_accuracy():
    truth, predicted = ["cat"] * 3 + ["dog"], ["cat", "dog", "cat", "dog"]
    assert mean_per_class(predicted, truth) == balanced_accuracy(predicted, truth)
    assert mean_per_class(predicted, truth).value == pytest.approx((2 / 3 + 1) / 2)


@settings(deadline=None)
@given(rows=st.integers(1, 30), columns=st.integers(3, 9), seed=st.integers(0, 9999))
def test_top_k_accuracy_is_that_of_scikit_learn_without_ties(rows, columns, seed):
    random = np.random.default_rng(seed)
    scores, truth = random.random((rows, columns)), random.integers(columns, size=rows)
    for k in range(1, columns):
        reference = sklearn.metrics.top_k_accuracy_score(truth, scores, k=k, labels=range(columns))
        assert top_k_accuracy(scores, truth, k) == wilson(round(reference * rows), rows)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.data())
def test_a_tie_among_the_best_k_is_the_average_over_all_orders(scores, data):
    own = data.draw(st.integers(0, len(scores) - 1))
    k = data.draw(st.integers(1, len(scores) - 1))
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    [hit] = hits_in_top([scores], [own], k)
    assert hit == pytest.approx(np.mean([own in order[:k] for order in orders]), abs=1e-12)


@settings(deadline=None)
@given(rows=st.integers(1, 30), levels=st.integers(2, 50), seed=st.integers(0, 9999))
def test_the_mean_of_top_1_and_top_5_is_the_mean_of_both(rows, levels, seed):
    random = np.random.default_rng(seed)
    scores, truth = random.integers(0, levels, (rows, 7)), random.integers(7, size=rows)
    ours = mean_top1_top5(scores, truth)
    both = [top_k_accuracy(scores, truth, k).value for k in (1, 5)]
    assert ours.value == pytest.approx(np.mean(both))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.n == rows


def test_the_interval_of_the_mean_of_top_1_and_top_5_holds_the_truth():
    random = np.random.default_rng(0)
    scores = random.standard_normal((400, 200, 10))
    scores[:, :, 0] += 1.5  # class 0 is the truth of every sample
    place = (scores > scores[:, :, :1]).sum(axis=2)
    truth = ((place < 1).mean() + (place < 5).mean()) / 2  # of 80,000 samples
    estimates = [mean_top1_top5(table, np.zeros(200, dtype=int)) for table in scores]
    covered = np.mean([each.low <= truth <= each.high for each in estimates])
    assert 0.93 <= covered <= 0.97
    perfect = mean_top1_top5(np.eye(6), np.arange(6))
    assert perfect.value == 1
    assert perfect.low < 0.7


@pytest.mark.parametrize(
    ("scores", "truth", "k", "message"),
    [
        (np.ones((2, 3)), [0, 1], 3, r"k must be within 1\.\.2, got 3"),
        (np.ones((2, 3)), [0, 1], 0, r"k must be within 1\.\.2, got 0"),
        (np.ones((2, 3)), [0, 3], 1, r"columns within 0\.\.2"),
        (np.ones((2, 3)), [0, -1], 1, r"columns within 0\.\.2"),
        (np.ones((2, 3)), [0.0, 1.0], 1, r"columns within 0\.\.2"),
        (np.ones((2, 3)), [0], 1, r"got shapes \(2, 3\) and \(1,\)"),
        (np.ones((0, 3)), [], 1, r"got shapes \(0, 3\)"),
        (np.ones(3), [0], 1, r"got shapes \(3,\)"),
        (np.array([[1.0, math.nan]]), [0], 1, r"scores\[0, 1\] is nan"),
    ],
)
def test_a_top_k_that_makes_no_sense_is_refused(scores, truth, k, message):
    with pytest.raises(InputError, match=message):
        top_k_accuracy(scores, truth, k)


def test_five_classes_have_no_top_5():
    with pytest.raises(InputError, match=r"k must be within 1\.\.4, got 5"):
        mean_top1_top5(np.eye(5), np.arange(5))


@settings(deadline=None)
@given(pairs_of_labels)
def test_confusion_is_that_of_scikit_learn(both):
    truth, predicted = both
    ours = confusion(predicted, truth)
    assert ours.classes == tuple(sorted(set(truth) | set(predicted)))
    # With a class that never comes: scikit-learn warns of a matrix of one cell.
    reference = sklearn.metrics.confusion_matrix(truth, predicted, labels=[*ours.classes, "never"])
    assert (ours.counts == reference[:-1, :-1]).all()
    order = ("scratch", "good", "dent", "crack")
    ours = confusion(predicted, truth, classes=order)
    reference = sklearn.metrics.confusion_matrix(truth, predicted, labels=order)
    assert (ours.counts == reference).all()


def test_a_class_that_is_not_listed_is_refused():
    with pytest.raises(InputError, match="label 'dent' is none of the 1 classes"):
        confusion(["dent"], ["good"], classes=("good",))
    with pytest.raises(InputError, match="stands twice"):
        confusion(["good"], ["good"], classes=("good", "good"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_precision_recall_and_specificity_are_those_of_scikit_learn(rows):
    called, real = map(np.array, zip(*rows, strict=True))
    if called.any():
        reference = sklearn.metrics.precision_score(real, called, zero_division=0)
        assert precision(called, real) == wilson(round(reference * called.sum()), called.sum())
    else:
        with pytest.raises(InputError, match="precision is not defined: no sample was called"):
            precision(called, real)
    if real.any():
        reference = sklearn.metrics.recall_score(real, called)
        assert recall(called, real) == wilson(round(reference * real.sum()), real.sum())
    else:
        with pytest.raises(InputError, match="recall is not defined: no sample is positive"):
            recall(called, real)
    if not real.all():
        reference = sklearn.metrics.recall_score(~real, ~called)
        assert specificity(called, real) == wilson(round(reference * (~real).sum()), (~real).sum())
    else:
        with pytest.raises(InputError, match="specificity is not defined: no sample is negative"):
            specificity(called, real)


@pytest.mark.parametrize("metric", [precision, recall, specificity])
@pytest.mark.parametrize(
    ("called", "real", "message"),
    [
        ([], [], "two lists of the same length"),
        ([1], [1, 0], "two lists of the same length"),
        ([2], [1], "true and false"),
        ([math.nan], [1], "true and false"),
    ],
)
def test_marks_that_are_none_are_refused(metric, called, real, message):
    with pytest.raises(InputError, match=message):
        metric(called, real)
