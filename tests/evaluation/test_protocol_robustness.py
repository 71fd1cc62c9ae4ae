"""Robustness: a planted shift is found, and none where none is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.evaluation.class_mapping import mapping_gain, pool_scores
from wordsight.evaluation.frames import pm_accuracy
from wordsight.evaluation.robustness import (
    effective_robustness,
    fit_shift_line,
    relative_robustness,
)

stats = pytest.importorskip("scipy.stats")

SLOPE, INTERCEPT, N = 1.2, -0.8, 2000


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def standard_models(random, count=12, scatter=0.0):
    """Accuracies that people would measure of models on a line, N samples each."""
    logits = random.uniform(-0.5, 2.0, count)
    shifted = INTERCEPT + SLOPE * logits + random.normal(0, scatter, count)
    return (
        random.binomial(N, sigmoid(logits)) / N,
        random.binomial(N, sigmoid(shifted)) / N,
    )


def model(random, lift):
    """Marks of a model whose accuracy on the shifted set is `lift` above the line."""
    logit = random.uniform(-0.5, 2.0)
    shifted = sigmoid(INTERCEPT + SLOPE * logit) + lift
    return random.random(N) < sigmoid(logit), random.random(N) < shifted


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.integers(4, 30))
def test_the_line_is_that_of_scipy_on_logits(seed, count):
    x, y = standard_models(np.random.default_rng(seed), count, scatter=0.3)
    line = fit_shift_line(x, y)
    expected = stats.linregress(np.log(x / (1 - x)), np.log(y / (1 - y)))
    assert line.slope == pytest.approx(expected.slope, rel=1e-8, abs=1e-10)
    assert line.intercept == pytest.approx(expected.intercept, rel=1e-8, abs=1e-10)
    assert math.sqrt(line.covariance[1][1]) == pytest.approx(expected.stderr, rel=1e-6)
    assert math.sqrt(line.covariance[0][0]) == pytest.approx(expected.intercept_stderr, rel=1e-6)
    assert line.expected(float(x[0])) == pytest.approx(
        sigmoid(expected.intercept + expected.slope * np.log(x[0] / (1 - x[0])))
    )


def test_planted_effective_robustness_is_found_and_covered():
    random = np.random.default_rng(0)
    found = held = 0
    trials = 200
    for trial in range(trials):
        line = fit_shift_line(*standard_models(random))
        result = effective_robustness(line, *model(random, 0.08), seed=trial, resamples=1000)
        found += result.is_found
        held += result.deviation.low <= 0.08 <= result.deviation.high
    assert found / trials > 0.95
    assert 0.92 <= held / trials <= 0.99


def test_none_is_found_where_none_is():
    random = np.random.default_rng(1)
    trials = 400
    found = sum(
        effective_robustness(
            fit_shift_line(*standard_models(random)), *model(random, 0.0), seed=t, resamples=1000
        ).is_found
        for t in range(trials)
    )
    # one side of a 95 % interval
    assert found / trials <= 0.025 + 2.6 * math.sqrt(0.025 * 0.975 / trials)


def test_a_model_like_the_standard_ones_stands_among_them():
    random = np.random.default_rng(2)
    line = fit_shift_line(*standard_models(random, 40, scatter=0.3))
    standings = [effective_robustness(line, *model(random, 0.0)).standing for _ in range(20)]
    assert np.abs(standings).max() < 2
    assert effective_robustness(line, *model(random, 0.3)).standing > 2


def test_a_change_that_helps_under_shift_is_found_on_the_same_samples():
    random = np.random.default_rng(3)
    before = random.random(1000) < 0.5
    after = np.where(random.random(1000) < 0.1, True, before)
    gain = relative_robustness(after, before)
    assert gain.value == pytest.approx(after.mean() - before.mean())
    assert gain.low > 0
    assert relative_robustness(before, before).value == 0


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]),
        ([0.5, 0.6, 0.7, 1.0], [0.4, 0.5, 0.6, 0.7]),
        ([0.5, 0.5, 0.5, 0.5], [0.4, 0.5, 0.6, 0.7]),
        ([0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.6]),
    ],
)
def test_models_that_give_no_line_are_refused(x, y):
    with pytest.raises(InputError):
        fit_shift_line(x, y)


def test_marks_that_are_none_are_refused():
    line = fit_shift_line([0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.6, 0.7])
    with pytest.raises(InputError, match="true and false"):
        effective_robustness(line, [0.5], [1])
    with pytest.raises(InputError, match="list of marks"):
        effective_robustness(line, [], [1])


def test_a_model_that_gets_all_right_still_has_a_finite_deviation():
    line = fit_shift_line([0.5, 0.6, 0.7, 0.8], [0.4, 0.52, 0.6, 0.7])
    found = effective_robustness(line, [True] * 20, [True] * 20)
    assert np.isfinite([found.deviation.low, found.deviation.high, found.standing]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 12))
def test_pm_counts_clips_whose_whole_neighbourhood_is_right(seed, within):
    random = np.random.default_rng(seed)
    clips = [f"clip {c}" for c in range(8) for _ in range(21)]
    offsets = np.tile(np.arange(-10, 11), 8)
    correct = random.random(168) < 0.95
    order = random.permutation(168)
    found = pm_accuracy([clips[i] for i in order], offsets[order], correct[order], within=within)
    table = correct.reshape(8, 21)
    middle = table[:, max(0, 10 - within) : 11 + within]
    assert found.value == middle.all(axis=1).mean()
    assert found.n == 8


def test_a_clip_without_its_middle_frame_is_refused():
    with pytest.raises(InputError, match="offset 0"):
        pm_accuracy(["a", "a"], [1, 2], [1, 1], within=0)
    with pytest.raises(InputError, match="no offset twice"):
        pm_accuracy(["a", "a"], [0, 0], [1, 1], within=0)
    with pytest.raises(InputError, match="whole numbers"):
        pm_accuracy(["a"], [0.5], [1], within=0)


def test_pooled_scores_are_the_best_of_the_finer_classes():
    scores = np.array([[0.1, 0.7, 0.2, 0.3], [0.5, 0.1, 0.4, 0.6]])
    pooled = pool_scores(
        scores, ["tabby", "siamese", "beagle", "poodle"],
        {"dog": ["beagle", "poodle"], "cat": ["tabby", "siamese"]},
    )  # fmt: skip
    np.testing.assert_array_equal(pooled, [[0.3, 0.7], [0.6, 0.5]])


def test_names_that_fit_better_than_pooled_ones_are_found():
    random = np.random.default_rng(4)
    truth = random.integers(5, size=800)
    sure = np.eye(5)[truth]
    gain = mapping_gain(
        sure + random.normal(0, 0.6, (800, 5)), sure + random.normal(0, 0.9, (800, 5)), truth
    )
    assert gain.gain.low > 0
    assert gain.gain.value == pytest.approx(gain.own.value - gain.pooled.value)


@pytest.mark.parametrize("mapping", [{"a": ["x"]}, {"a": ["x"], "b": []}, {"a": ["x"], "b": ["z"]}])
def test_a_mapping_that_does_not_fit_is_refused(mapping):
    with pytest.raises(InputError):
        pool_scores(np.zeros((2, 2)), ["x", "y"], mapping)
