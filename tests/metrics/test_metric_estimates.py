"""Intervals of a counted share: against scipy, and by how often they hold the truth."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wordsight.config import from_dict, to_dict
from wordsight.errors import InputError
from wordsight.metrics import Estimate, binomial, clopper_pearson, difference, wilson


def test_an_estimate_reads_like_a_sentence_and_survives_json():
    estimate = Estimate(0.523, 0.505, 0.541, 3000)
    assert str(estimate) == "52.3 % (50.5-54.1, n=3000)"
    assert f"{estimate:.2}" == "52.30 % (50.50-54.10, n=3000)"
    assert str(Estimate(-0.1, -0.2, 0.05, 9)) == "-10.0 % (-20.0 to 5.0, n=9)"
    assert from_dict(Estimate, to_dict(estimate), where="results.json") == estimate


@given(n=st.integers(1, 3000), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_the_interval_of_scipy(n, share, confidence):
    stats = pytest.importorskip("scipy.stats")
    successes = round(share * n)
    reference = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    ours = wilson(successes, n, confidence)
    assert ours.low == pytest.approx(reference.low, abs=1e-9)
    assert ours.high == pytest.approx(reference.high, abs=1e-9)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(InputError, match="successes"):
        wilson(successes, n)


def test_an_impossible_confidence_is_refused():
    with pytest.raises(InputError, match=r"between 0 and 1, got 95"):
        wilson(1, 2, 95)


def test_a_difference_has_newcombes_interval():
    after, before = wilson(56, 70), wilson(48, 80)  # the worked example of Newcombe (1998)
    estimate = difference(after, before)
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low == pytest.approx(0.0524, abs=5e-5)
    assert estimate.high == pytest.approx(0.3339, abs=5e-5)


@settings(deadline=None)
@given(
    n=st.integers(1, 1_000_000),
    share=st.floats(0, 1),
    confidence=st.sampled_from([0.8, 0.95, 0.995]),
)
def test_clopper_pearson_is_the_interval_of_scipy_up_to_a_million(n, share, confidence):
    successes = round(share * n)
    reference = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    ours = clopper_pearson(successes, n, confidence)
    assert ours.low == pytest.approx(reference.low, abs=1e-9)
    assert ours.high == pytest.approx(reference.high, abs=1e-9)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(1, 1_000_000),
    where=st.floats(-9, 9),
    share=st.one_of(st.floats(1e-9, 1 - 1e-9), st.sampled_from([0.0, 1.0, 0.5, 1e-6])),
)
def test_binomial_tails_are_those_of_scipy(n, where, share):
    spread = (n * share * (1 - share)) ** 0.5
    successes = min(n, max(0, round(n * share + where * spread)))
    chance = binomial.probability(successes, n, share)
    assert chance == pytest.approx(stats.binom.pmf(successes, n, share), rel=1e-8, abs=1e-300)
    upper, lower = (
        binomial.at_least(successes, n, share),
        binomial.at_most(successes, n, share),
    )
    assert upper == pytest.approx(stats.binom.sf(successes - 1, n, share), rel=1e-8, abs=1e-15)
    assert lower == pytest.approx(stats.binom.cdf(successes, n, share), rel=1e-8, abs=1e-15)
    assert 0 <= upper <= 1
    assert 0 <= lower <= 1


def test_counts_outside_the_trials_have_no_chance():
    assert binomial.probability(4, 3, 0.5) == binomial.at_least(4, 3, 0.5) == 0
    assert binomial.at_least(0, 3, 0.5) == binomial.at_most(3, 3, 0.5) == 1
    assert binomial.at_most(-1, 3, 0.5) == 0


def test_a_million_samples_take_no_time():
    start = time.process_time()
    clopper_pearson(437_211, 1_000_000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_have_no_exact_interval(successes, n):
    with pytest.raises(InputError, match="successes"):
        clopper_pearson(successes, n)
    with pytest.raises(InputError, match="confidence must lie between 0 and 1, got 1"):
        clopper_pearson(1, 2, 1)


def coverage(interval, n, shares):
    """Chance, exactly, that the interval holds each share."""
    limits = [interval(k, n) for k in range(n + 1)]
    low = np.array([each.low for each in limits])
    high = np.array([each.high for each in limits])
    holds = (low <= shares[:, None]) & (shares[:, None] <= high)
    return (stats.binom.pmf(np.arange(n + 1), n, shares[:, None]) * holds).sum(axis=1)


@pytest.mark.parametrize("n", [10, 30, 59, 200])
def test_clopper_pearson_never_holds_less_than_it_claims(n):
    shares = np.linspace(0.0003, 0.9997, 1500)
    assert coverage(clopper_pearson, n, shares).min() >= 0.95


@pytest.mark.parametrize(("n", "least"), [(30, 0.92), (100, 0.92), (1000, 0.94)])
def test_wilson_holds_the_truth_95_times_in_100_but_less_near_the_ends(n, least):
    shares = np.linspace(0.0005, 0.9995, 2000)
    holds = coverage(wilson, n, shares)
    inside = (shares >= 0.05) & (shares <= 0.95)
    assert 0.94 <= holds.mean() <= 0.96
    assert 0.945 <= holds[inside].mean() <= 0.96
    assert holds[inside].min() >= least
    assert 0.83 <= holds.min() < 0.92  # the docstring says so


def test_the_interval_of_a_difference_holds_the_truth():
    random = np.random.default_rng(0)
    after, before = random.binomial(60, 0.8, 2000), random.binomial(80, 0.6, 2000)
    first = [wilson(k, 60) for k in range(61)]
    second = [wilson(k, 80) for k in range(81)]
    gains = [difference(first[a], second[b]) for a, b in zip(after, before, strict=True)]
    assert 0.93 <= np.mean([gain.low <= 0.2 <= gain.high for gain in gains]) <= 0.97
