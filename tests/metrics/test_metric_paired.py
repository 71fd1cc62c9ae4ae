"""Paired tests and corrections: against scipy, and by how often they are wrong."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wordsight.errors import InputError
from wordsight.metrics import binomial_test, bonferroni, holm, mcnemar, permutation


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_the_exact_binomial_test(rows):
    stats = pytest.importorskip("scipy.stats")
    a, b = np.array(rows).T
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    reference = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b) == pytest.approx(reference, abs=1e-12)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_many_samples_neither_overflows_nor_takes_long():
    stats = pytest.importorskip("scipy.stats")
    a = np.arange(100_000) < 50_500
    reference = stats.binomtest(50_500, 100_000).pvalue
    assert mcnemar(a, ~a) == pytest.approx(reference, rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([True], [True, False]), ([0.5], [1]), ([math.nan], [1])]
)
def test_mcnemar_of_lists_that_do_not_match_is_refused(a, b):
    with pytest.raises(InputError):
        mcnemar(a, b)


def test_mid_p_counts_what_was_seen_by_half():
    for only_a, only_b in itertools.product(range(6), range(6)):
        n = only_a + only_b
        a = np.array([True] * only_a + [False] * only_b + [True])
        chance = stats.binom.pmf(np.arange(n + 1), n, 0.5)
        gap = np.abs(2 * np.arange(n + 1) - n)
        seen = abs(only_a - only_b)
        expected = chance[gap > seen].sum() + 0.5 * chance[gap == seen].sum()
        other = np.append(~a[:-1], True)
        assert mcnemar(a, other, method="mid-p") == pytest.approx(expected, abs=1e-12)
        assert mcnemar(a, other, method="mid-p") <= mcnemar(a, other)


def rejections_of_mcnemar(n, share, method):
    """Share of pairs of equally good models that the test at 5 % calls different."""
    random = np.random.default_rng(0)
    apart = random.binomial(n, share, 4000)
    only_a = random.binomial(apart, 0.5)
    known = {}
    for pair in zip(only_a.tolist(), (apart - only_a).tolist(), strict=True):
        if pair not in known:
            marks = np.repeat([[1, 0], [0, 1], [1, 1]], [*pair, 1], axis=0)
            known[pair] = mcnemar(marks[:, 0], marks[:, 1], method=method) <= 0.05
    pairs = zip(only_a.tolist(), (apart - only_a).tolist(), strict=True)
    return np.mean([known[pair] for pair in pairs])


@pytest.mark.parametrize(("n", "share"), [(40, 0.2), (200, 0.1), (1000, 0.3)])
def test_mcnemar_rejects_equal_models_at_most_5_times_in_100(n, share):
    exact, middle = (rejections_of_mcnemar(n, share, method) for method in ("exact", "mid-p"))
    assert exact <= 0.05
    assert exact <= middle <= 0.058


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=9),
    st.integers(0, 9),
)
def test_a_permutation_of_few_samples_tries_every_exchange(rows, seed):
    a, b = np.array(rows, dtype=float).T / 10
    seen = abs((a - b).sum()) - 1e-9
    sums = [abs(np.dot(signs, a - b)) for signs in itertools.product((1, -1), repeat=len(a))]
    assert permutation(a, b, seed=seed) == pytest.approx(np.mean(np.array(sums) >= seen))


def test_a_permutation_of_many_samples_agrees_with_scipy_and_with_itself():
    random = np.random.default_rng(1)
    a = random.standard_normal(60)
    b = a + 0.3 * random.standard_normal(60) + 0.07
    reference = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=2,
    ).pvalue
    assert 0.02 < reference < 0.6
    assert permutation(a, b, seed=3) == pytest.approx(reference, abs=0.02)
    assert permutation(a, b, seed=3) == permutation(b, a, seed=3)
    assert permutation(a, a + 1, seed=4, resamples=999) == 1 / 1000


def test_a_permutation_rejects_equal_models_at_most_5_times_in_100():
    random = np.random.default_rng(5)
    rejected = [
        permutation(*random.exponential(size=(2, 30)), seed=seed, resamples=399) <= 0.05
        for seed in range(2000)
    ]
    assert 0.035 <= np.mean(rejected) <= 0.06  # 5 % and three standard errors


def test_samples_of_one_group_are_exchanged_together():
    random = np.random.default_rng(6)
    groups = np.repeat(np.arange(15), 8)
    alone, together = [], []
    for seed in range(300):
        luck = random.standard_normal(15)[groups] + 0.1 * random.standard_normal(120)
        zero = np.zeros(120)
        alone.append(permutation(luck, zero, seed=seed, resamples=199) <= 0.05)
        together.append(permutation(luck, zero, seed=seed, resamples=199, groups=groups) <= 0.05)
    assert np.mean(together) <= 0.09  # 5 % and three standard errors
    assert np.mean(alone) > 0.3


@given(n=st.integers(1, 2000), where=st.floats(0, 1), share=st.floats(0, 1))
def test_the_one_sided_test_is_that_of_scipy(n, where, share):
    successes = round(where * n)
    for side in ("greater", "less"):
        reference = stats.binomtest(successes, n, share, alternative=side).pvalue
        ours = binomial_test(successes, n, share, side=side)
        assert ours == pytest.approx(reference, rel=1e-7, abs=1e-14)


@pytest.mark.parametrize(("n", "share"), [(20, 0.5), (150, 0.9), (1000, 0.05)])
def test_the_one_sided_test_rejects_a_true_share_at_most_5_times_in_100(n, share):
    chance = stats.binom.pmf(np.arange(n + 1), n, share)
    for side in ("greater", "less"):
        rejects = [binomial_test(k, n, share, side=side) <= 0.05 for k in range(n + 1)]
        assert 0.01 < chance[rejects].sum() <= 0.05


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_and_bonferroni_are_their_definitions(values):
    assert bonferroni(values) == pytest.approx([min(1, len(values) * p) for p in values])
    adjusted = holm(values)
    for level in (0.01, 0.05, 0.2):  # step down: stop at the first that is not small enough
        rejected = set()
        for step, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
            if values[index] * (len(values) - step) > level:
                break
            rejected.add(index)
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert (adjusted <= bonferroni(values) + 1e-15).all()


@pytest.mark.parametrize("dependence", [0.0, 0.8])
def test_holm_keeps_the_chance_of_any_false_rejection_below_5_in_100(dependence):
    random = np.random.default_rng(7)
    common = random.standard_normal((4000, 1))
    z = np.sqrt(dependence) * common + np.sqrt(1 - dependence) * random.standard_normal((4000, 8))
    z[:, :3] += 3.0  # three real differences, five of chance
    p = 2 * stats.norm.sf(np.abs(z))
    for correct in (holm, bonferroni):
        rejected = np.array([correct(row) <= 0.05 for row in p])
        assert rejected[:, 3:].any(axis=1).mean() <= 0.055
        assert rejected[:, :3].mean() > 0.5
    assert (p[:, 3:] <= 0.05).any(axis=1).mean() > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: permutation([1.0], [1.0, 2.0], seed=0), "got 1 and 2"),
        (lambda: permutation([], [], seed=0), r"got shape \(0,\)"),
        (lambda: permutation([math.nan], [1.0], seed=0), r"values_a\[0\] is nan"),
        (lambda: permutation([1.0], [2.0], seed=0, resamples=0), "resamples must be at least 1"),
        (lambda: permutation([1.0, 2], [2.0, 1], seed=0, groups=["a"]), "1 group ids"),
        (lambda: binomial_test(3, 2, 0.5, side="less"), "got 3 of 2"),
        (lambda: binomial_test(1, 2, 1.5, side="less"), "share must lie within"),
        (lambda: holm([]), r"got shape \(0,\)"),
        (lambda: holm([0.1, math.nan]), r"p_values\[1\] is nan"),
        (lambda: bonferroni([0.1, 1.2]), "within 0..1, got 0.1 to 1.2"),
    ],
)
def test_tests_that_make_no_sense_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
