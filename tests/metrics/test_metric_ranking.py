"""AUC, PR-AUC and VOC 2007's metric: against scikit-learn and the definition spelled out."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.metrics import (
    average_precision,
    eleven_point_ap,
    eleven_point_map,
    precision_recall,
    roc_auc,
)

rankings = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40).filter(
    lambda rows: any(mark for _, mark in rows)
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({mark for _, mark in rows}) == 2
    )
)
def test_auc_is_that_of_scikit_learn_with_ties(rows):
    scores, marks = zip(*rows, strict=True)
    ours = roc_auc(scores, marks)
    assert ours.value == pytest.approx(sklearn.metrics.roc_auc_score(marks, scores))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def delong(scores, marks):
    """Variance of the AUC from the placement of each sample (DeLong et al., 1988)."""
    up, down = scores[marks], scores[~marks]
    wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
    variance = wins.mean(1).var(ddof=1) / len(up) + wins.mean(0).var(ddof=1) / len(down)
    return 1.96 * math.sqrt(variance)


def test_the_interval_of_the_auc_agrees_with_delong_on_large_samples():
    random = np.random.default_rng(3)
    marks = np.repeat([True, False], [1000, 1000])
    scores = random.standard_normal(2000) + 1.2 * marks
    ours = roc_auc(scores, marks)
    assert (ours.high - ours.low) / 2 == pytest.approx(delong(scores, marks), rel=0.05)


def test_the_interval_of_the_auc_holds_the_truth_on_small_samples():
    random = np.random.default_rng(4)
    truth = 0.5 * (1 + math.erf(1.5 / 2))  # two unit normals 1.5 apart
    marks = np.repeat([True, False], [12, 20])
    covered = sum(
        estimate.low <= truth <= estimate.high
        for estimate in (
            roc_auc(random.standard_normal(32) + 1.5 * marks, marks) for _ in range(600)
        )
    )
    assert 0.92 <= covered / 600 <= 0.99
    perfect = roc_auc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert perfect.value == perfect.high == 1
    assert perfect.low < 0.6


@pytest.mark.parametrize(
    ("scores", "marks", "message"),
    [
        ([0.1, math.nan], [0, 1], r"scores\[1\] is nan"),
        ([], [], "got 0 positive, 0 negative"),
        ([0.1, 0.2], [1, 1], "got 2 positive, 0 negative"),
        ([0.1, 0.2], [1], "as many marks as scores"),
        ([0.1, 0.2], [1, 2], "true and false"),
    ],
)
def test_an_auc_that_makes_no_sense_is_refused(scores, marks, message):
    with pytest.raises(InputError, match=message):
        roc_auc(scores, marks)


@settings(deadline=None)
@given(rankings)
def test_pr_auc_is_the_average_precision_of_scikit_learn_with_ties(rows):
    scores, marks = zip(*rows, strict=True)
    ours = average_precision(scores, marks)
    assert ours.value == pytest.approx(sklearn.metrics.average_precision_score(marks, scores))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.n == len(rows)


@settings(deadline=None)
@given(rankings)
def test_precision_and_recall_are_those_of_each_threshold(rows):
    scores, marks = map(np.array, zip(*rows, strict=True))
    curve = precision_recall(scores, marks)
    assert curve.thresholds.tolist() == sorted(set(scores.tolist()), reverse=True)
    for threshold, precision, recall in zip(
        curve.thresholds, curve.precision, curve.recall, strict=True
    ):
        called = scores >= threshold
        assert precision == pytest.approx(sklearn.metrics.precision_score(marks, called))
        assert recall == pytest.approx(sklearn.metrics.recall_score(marks, called))


def voc_2007(scores, marks):
    """VOCap.m in words: at each of 11 recalls the best precision at that recall or beyond."""
    total = 0.0
    for tenth in range(11):
        best = 0.0
        for threshold in set(scores):
            called = [s >= threshold for s in scores]
            found = sum(c and m for c, m in zip(called, marks, strict=True))
            if 10 * found >= tenth * sum(marks):
                best = max(best, found / sum(called))
        total += best / 11
    return total


@settings(deadline=None)
@given(rankings)
def test_eleven_points_are_those_of_voc_with_ties(rows):
    scores, marks = zip(*rows, strict=True)
    ours = eleven_point_ap(scores, marks)
    assert ours.value == pytest.approx(voc_2007(scores, marks))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.integers(2, 25), st.integers(0, 9999))
def test_the_mean_over_classes_leaves_difficult_ones_out(num_classes, num_samples, seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 9, (num_samples, num_classes)) / 8
    marks, known = random.random((2, num_samples, num_classes)) < [[[0.4]], [[0.8]]]
    marks[0], known[0] = True, True
    each = []
    for column in range(num_classes):
        own = known[:, column]
        each.append(voc_2007(scores[own, column].tolist(), marks[own, column].tolist()))
    ours = eleven_point_map(scores, marks, is_known=known)
    assert ours.value == pytest.approx(np.mean(each))
    assert ours.n == num_samples
    if known.all():
        assert ours == eleven_point_map(scores, marks)


def test_chance_is_the_share_of_positives_for_pr_auc_and_one_half_for_auc():
    same, marks = np.zeros(50), np.arange(50) < 10
    assert average_precision(same, marks).value == pytest.approx(0.2)
    assert eleven_point_ap(same, marks).value == pytest.approx(0.2)
    assert roc_auc(same, marks).value == 0.5


def drawn(random, positives, negatives, apart):
    marks = np.repeat([True, False], [positives, negatives])
    return random.standard_normal(len(marks)) + apart * marks, marks


@pytest.mark.parametrize(
    ("positives", "negatives", "apart"), [(50, 450, 2.0), (100, 2400, 2.5), (40, 400, 1.0)]
)
def test_the_interval_of_pr_auc_holds_the_truth(positives, negatives, apart):
    random = np.random.default_rng(6)
    truth = average_precision(*drawn(random, positives * 400, negatives * 400, apart)).value
    estimates = [average_precision(*drawn(random, positives, negatives, apart)) for _ in range(500)]
    covered = np.mean([each.low <= truth <= each.high for each in estimates])
    assert 0.93 <= covered <= 0.985


def pictures_of_classes(random, num_pictures):
    """Ten classes of 4 to 15 % of the pictures, whose scores rise and fall together."""
    share, apart = np.linspace(0.04, 0.15, 10), np.linspace(0.8, 2.5, 10)
    marks = random.random((num_pictures, 10)) < share
    common = random.standard_normal((num_pictures, 1))
    noise = random.standard_normal((num_pictures, 10))
    return np.sqrt(0.5) * common + np.sqrt(0.5) * noise + apart * marks, marks


def test_the_interval_of_the_mean_over_classes_holds_the_truth():
    random = np.random.default_rng(7)
    truth = eleven_point_map(*pictures_of_classes(random, 200_000)).value
    estimates = [eleven_point_map(*pictures_of_classes(random, 1000)) for _ in range(250)]
    covered = np.mean([each.low <= truth <= each.high for each in estimates])
    assert 0.93 <= covered <= 0.985


def test_the_interval_of_the_auc_holds_the_truth_on_middling_samples():
    random = np.random.default_rng(8)
    truth = 0.5 * (1 + math.erf(1.0 / 2))
    estimates = [roc_auc(*drawn(random, 60, 120, 1.0)) for _ in range(1000)]
    covered = np.mean([each.low <= truth <= each.high for each in estimates])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("metric", [average_precision, eleven_point_ap, precision_recall])
@pytest.mark.parametrize(
    ("scores", "marks", "message"),
    [
        ([0.1, math.nan], [0, 1], r"scores\[1\] is nan"),
        ([], [], "got 0 of 0"),
        ([0.1, 0.2], [0, 0], "got 0 of 2"),
        ([0.1, 0.2], [1], "as many marks as scores"),
        ([0.1, 0.2], [1, 2], "true and false"),
    ],
)
def test_a_precision_without_positives_or_numbers_is_refused(metric, scores, marks, message):
    with pytest.raises(InputError, match=message):
        metric(scores, marks)


@pytest.mark.parametrize(
    ("scores", "marks", "known", "message"),
    [
        (np.ones((2, 2)), [[1, 0], [1, 0]], None, "class 1 has no positives"),
        (np.ones((2, 1)), [[1], [0]], [[0], [1]], "class 0 has no positives"),
        (np.ones((2, 1)), [[1], [0]], [[1]], "of one shape"),
        (np.ones(2), [1, 0], None, "of one shape"),
        (np.ones((0, 2)), np.ones((0, 2)), None, "of one shape"),
        (np.full((2, 1), np.nan), [[1], [0]], None, r"scores\[0, 0\] is nan"),
        (np.ones((2, 1)), [[1], [3]], None, "is_positive must hold true and false"),
        (np.ones((2, 1)), [[1], [0]], [[1], [3]], "is_known must hold true and false"),
    ],
)
def test_a_mean_over_classes_that_makes_no_sense_is_refused(scores, marks, known, message):
    with pytest.raises(InputError, match=message):
        eleven_point_map(scores, marks, is_known=known)


def test_marks_of_what_is_known_must_fit():
    with pytest.raises(InputError, match="expected 2 marks of is_known"):
        eleven_point_ap([0.1, 0.2], [0, 1], is_known=[1])
