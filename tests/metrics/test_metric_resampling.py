"""The bootstrap: against scipy, and by how often it holds the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from wordsight.errors import InputError
from wordsight.metrics import bootstrap, bootstrap_difference, bootstrap_rows, roc_auc


def mean(values):
    return float(values.mean())


def test_bootstrap_repeats_itself_and_agrees_with_scipy():
    values = np.random.default_rng(5).exponential(size=80)
    ours = bootstrap(values, np.median, seed=7)
    assert ours == bootstrap(values, np.median, seed=7)
    assert ours != bootstrap(values, np.median, seed=8)
    reference = stats.bootstrap(
        (values,), np.median, n_resamples=3000, method="percentile", rng=1
    ).confidence_interval
    assert ours.low == pytest.approx(reference.low, abs=0.05)
    assert ours.high == pytest.approx(reference.high, abs=0.05)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [[1.0], [2.0]]])
def test_a_bootstrap_of_nothing_or_nan_is_refused(values):
    with pytest.raises(InputError):
        bootstrap(values, np.mean, seed=0)


def covered(estimates, truth):
    return np.mean([each.low <= truth <= each.high for each in estimates])


def test_the_bootstrap_holds_the_truth_95_times_in_100():
    random = np.random.default_rng(0)
    samples = random.beta(2, 1, size=(400, 200))
    estimates = [bootstrap(own, mean, seed=i, resamples=300) for i, own in enumerate(samples)]
    assert 0.93 <= covered(estimates, 2 / 3) <= 0.97


@pytest.mark.parametrize(("n", "confidence"), [(8, 0.95), (20, 0.95), (20, 0.8), (100, 0.99)])
def test_few_values_get_the_interval_of_student(n, confidence):
    sample = np.random.default_rng(1).standard_normal(n)
    ours = bootstrap(sample, mean, seed=2, resamples=20_000, confidence=confidence)
    reference = stats.t.interval(confidence, n - 1, sample.mean(), stats.sem(sample))
    assert ours.low == pytest.approx(reference[0], abs=0.1 * (reference[1] - reference[0]))
    assert ours.high == pytest.approx(reference[1], abs=0.1 * (reference[1] - reference[0]))


def grouped_samples(random, num_groups, size):
    """Samples that share most of their luck with their group; the true mean is 0."""
    groups = np.repeat(np.arange(num_groups), size)
    luck = random.standard_normal(num_groups)[groups]
    return luck + 0.5 * random.standard_normal(len(groups)), groups


def test_groups_make_the_interval_honest_where_samples_belong_together():
    random = np.random.default_rng(1)
    worlds = [grouped_samples(random, 30, 5) for _ in range(400)]
    honest = [
        bootstrap(values, mean, seed=i, resamples=300, groups=groups)
        for i, (values, groups) in enumerate(worlds)
    ]
    naive = [
        bootstrap(values, mean, seed=i, resamples=300) for i, (values, _) in enumerate(worlds[:100])
    ]
    assert 0.93 <= covered(honest, 0.0) <= 0.97
    assert covered(naive, 0.0) < 0.75
    assert honest[0].value == naive[0].value
    assert honest[0].n == 150


def test_groups_of_one_sample_each_are_no_groups():
    values = np.random.default_rng(2).standard_normal(50)
    apart = bootstrap(values, mean, seed=3, groups=list("abcdefghij" * 5))
    alone = bootstrap(values, mean, seed=3, groups=np.arange(50))
    assert alone == bootstrap(values, mean, seed=3)
    assert apart != alone


def test_the_difference_of_pairs_holds_the_truth_and_is_narrower_than_without_pairs():
    random = np.random.default_rng(4)
    estimates = []
    for seed in range(400):
        hard = random.standard_normal(120)
        before = hard + 0.3 * random.standard_normal(120)
        after = hard + 0.1 + 0.3 * random.standard_normal(120)
        estimates.append(bootstrap_difference(after, before, mean, seed=seed, resamples=300))
    assert 0.93 <= covered(estimates, 0.1) <= 0.97
    alone = bootstrap(after, mean, seed=0)
    assert estimates[-1].high - estimates[-1].low < 0.6 * (alone.high - alone.low)


def test_rows_may_be_of_any_table():
    random = np.random.default_rng(5)
    marks = np.repeat([True, False], 150)
    scores = random.standard_normal(300) + 1.2 * marks
    rows = bootstrap_rows(lambda own: roc_auc(scores[own], marks[own]).value, 300, seed=0)
    direct = roc_auc(scores, marks)
    assert rows.value == direct.value
    assert rows.low == pytest.approx(direct.low, abs=0.015)
    assert rows.high == pytest.approx(direct.high, abs=0.015)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([1.0, 2.0], mean, seed=0, groups=["a"]), "1 group ids for 2 samples"),
        (lambda: bootstrap([1.0, 2.0], mean, seed=0, groups=["a", "a"]), "of one group"),
        (lambda: bootstrap([1.0, 2.0], mean, seed=0, groups=["a", None]), "label 1 is missing"),
        (lambda: bootstrap([1.0, 2.0], mean, seed=0, confidence=1), "confidence must lie between"),
        (lambda: bootstrap([1.0, 2.0], mean, seed=0, resamples=0), "got 2 and 0"),
        (lambda: bootstrap([1.0, 2.0], lambda _: math.nan, seed=0), "not a finite number"),
        (lambda: bootstrap_difference([1.0], [1.0, 2.0], mean, seed=0), "got 1 and 2"),
        (lambda: bootstrap_difference([1.0], [math.inf], mean, seed=0), r"before\[0\] is inf"),
    ],
)
def test_draws_that_make_no_sense_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
