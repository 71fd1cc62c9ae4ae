"""Calibration and proper scores: against scikit-learn and the definition; coverage of the ECE."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.metrics import (
    brier,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    wilson,
)

confident = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0])), st.booleans()
    ),
    min_size=1,
    max_size=40,
)


def bins_in_words(confidences, correct, bins):
    """(0, 1/B], (1/B, 2/B] ... one at a time; 0 belongs to the first."""
    edges = [(index / bins, (index + 1) / bins) for index in range(bins)]
    for low, high in edges:
        inside = [
            (c, y)
            for c, y in zip(confidences, correct, strict=True)
            if low * bins < c * bins <= high * bins or (c == low == 0)
        ]
        if inside:
            yield low, high, inside


@settings(deadline=None)
@given(confident, st.sampled_from([1, 5, 8, 10]))
def test_reliability_and_ece_are_their_definition(rows, bins):
    confidences, correct = zip(*rows, strict=True)
    expected = list(bins_in_words(confidences, correct, bins))
    ours = reliability(confidences, correct, bins)
    assert [(each.low, each.high) for each in ours] == [each[:2] for each in expected]
    error = 0.0
    for mine, (_, _, inside) in zip(ours, expected, strict=True):
        mean = float(np.mean([c for c, _ in inside]))
        assert mine.mean_confidence == pytest.approx(mean)
        assert mine.accuracy == wilson(sum(y for _, y in inside), len(inside))
        error += len(inside) / len(rows) * abs(mine.accuracy.value - mean)
    ece = expected_calibration_error(confidences, correct, bins)
    assert ece.value == pytest.approx(error)
    assert 0 <= ece.low <= ece.value <= ece.high <= 1
    assert ece.n == len(rows)


def over_confident(random, num_samples, gap):
    """A model whose true chances lie below what it says; its gap, exactly, in the bins used."""
    says = np.clip(random.beta(4, 1.5, size=num_samples), 0.01, 0.999)
    true = np.clip(says - 4 * gap * says * (1 - says), 0, 1)
    return says, true


def true_error(says, true, bins=15):
    place = np.ceil(says * bins).astype(int)
    return np.abs(np.bincount(place, weights=true - says)).sum() / len(says)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("num_samples", [100, 1000])
def test_the_interval_of_the_ece_holds_the_truth_even_where_there_is_no_gap(gap, num_samples):
    random = np.random.default_rng(0)
    truth = true_error(*over_confident(random, 1_000_000, gap))
    covered = []
    for _ in range(500):
        says, true = over_confident(random, num_samples, gap)
        each = expected_calibration_error(says, random.random(num_samples) < true)
        covered.append(each.low <= truth <= each.high)
    assert np.mean(covered) >= 0.94


def test_the_interval_of_the_ece_is_sharp_where_the_gap_is_plain():
    random = np.random.default_rng(1)
    truth = true_error(*over_confident(random, 1_000_000, 0.3))
    covered = []
    for _ in range(500):
        says, true = over_confident(random, 3000, 0.3)
        each = expected_calibration_error(says, random.random(3000) < true)
        covered.append(each.low <= truth <= each.high)
        assert each.low > 0.15
    assert 0.93 <= np.mean(covered) <= 0.98


@st.composite
def predicted_classes(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    table = random.random((rows, columns)) + 1e-3
    return table / table.sum(axis=1, keepdims=True), random.integers(columns, size=rows)


@settings(deadline=None)
@given(predicted_classes())
def test_log_likelihood_and_brier_are_those_of_scikit_learn(world):
    table, truth = world
    columns = list(range(table.shape[1]))
    ours = negative_log_likelihood(table, truth, resamples=20)
    assert ours.value == pytest.approx(sklearn.metrics.log_loss(truth, table, labels=columns))
    assert ours.low <= ours.value <= ours.high
    ours = brier(table, truth, resamples=20)
    assert ours.value == pytest.approx(
        ((table - np.eye(len(columns))[truth]) ** 2).sum(1).mean() / 2
    )
    if len(columns) == 2:
        reference = sklearn.metrics.brier_score_loss(truth, table[:, 1], labels=[0, 1])
        assert ours.value == pytest.approx(reference)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_proper_scores_repeat_themselves():
    table, truth = np.full((9, 3), 1 / 3), np.arange(9) % 3
    assert negative_log_likelihood(table, truth).value == pytest.approx(math.log(3))
    table[0] = [0.5, 0.3, 0.2]
    assert brier(table, truth, seed=1) == brier(table, truth, seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability([], []), r"got shape \(0,\)"),
        (lambda: reliability([0.5], [1, 0]), "as many marks as confidences"),
        (lambda: reliability([1.2], [1]), r"within 0\.\.1, got 1.2"),
        (lambda: reliability([0.5], [2]), "correct must hold true and false"),
        (lambda: reliability([0.5], [1], 0), "one bin or more, got 0"),
        (lambda: expected_calibration_error([math.nan], [1]), r"confidences\[0\] is nan"),
        (lambda: brier([[0.5, 0.4]], [0]), r"row 0 sums to 0\.9"),
        (lambda: brier([[1.5, -0.5]], [0]), r"least value of -0\.5"),
        (lambda: brier([[0.5, 0.5]], [2]), r"columns within 0\.\.1"),
        (lambda: negative_log_likelihood([[0.0, 1.0]], [0]), "sample 0: the true class has"),
        (lambda: negative_log_likelihood([[math.nan, 1.0]], [0]), r"scores\[0, 0\] is nan"),
    ],
)
def test_probabilities_that_are_none_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
