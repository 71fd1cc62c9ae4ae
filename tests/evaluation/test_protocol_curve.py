"""Few-shot curves, what words are worth in examples, and correlation over data sets."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.evaluation.correlation import correlate
from wordsight.evaluation.curve import band, few_shot_curve
from wordsight.evaluation.equivalence import examples_equivalence, examples_equivalent
from wordsight.evaluation.student import student_quantile

stats = pytest.importorskip("scipy.stats")


@settings(max_examples=100, deadline=None)
@given(st.floats(0.5, 0.9999), st.integers(1, 60))
def test_quantiles_of_student_are_scipys(probability, freedom):
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-10)


def draws(random, skills, hardness):
    """Marks (S, N): chance of a right answer from a draw's skill and a sample's hardness."""
    chance = 1 / (1 + np.exp(-(skills[:, None] - hardness[None, :])))
    return random.random(chance.shape) < chance


def test_the_interval_of_a_point_covers_other_draws_and_other_samples():
    random = np.random.default_rng(0)
    grid_skill, grid_hardness = random.normal(0.5, 0.3, 400), random.normal(0, 1, 2000)
    truth = float((1 / (1 + np.exp(-(grid_skill[:, None] - grid_hardness)))).mean())
    held = 0
    trials = 400
    for _ in range(trials):
        correct = draws(random, random.normal(0.5, 0.3, 5), random.normal(0, 1, 200))
        (point,) = few_shot_curve({4: correct})
        held += point.estimate.low <= truth <= point.estimate.high
    assert 0.935 <= held / trials <= 1.0


def test_one_draw_gives_the_interval_of_wilson():
    from wordsight.metrics import wilson

    correct = np.arange(50)[None] < 31
    (point,) = few_shot_curve({1: correct})
    expected = wilson(31, 50)
    assert point.estimate.low == pytest.approx(expected.low, abs=1e-12)
    assert point.estimate.high == pytest.approx(expected.high, abs=1e-12)
    assert point.scores == (0.62,)


def test_points_stand_in_the_order_of_their_examples_with_the_band_of_their_draws():
    table = np.array([[1, 0, 0, 0], [1, 1, 1, 0]])
    points = few_shot_curve({8: table, 1: table[:, ::-1]})
    assert band(points) == [(1, 0.25, 0.75), (8, 0.25, 0.75)]
    assert points[0].estimate.value == 0.5


@pytest.mark.parametrize(
    "curve", [{}, {0: [[1, 0]]}, {1: [1, 0]}, {1: [[]]}, {1: [[0.5, 1.0]]}, {1: [[math.nan]]}]
)
def test_what_is_no_curve_is_refused(curve):
    with pytest.raises(InputError):
        few_shot_curve(curve)


def test_examples_are_interpolated_along_the_logarithm():
    # half the way from 0.4 to 0.6 is half the way from log 4 to log 16
    assert examples_equivalent([1, 4, 16], [0.2, 0.4, 0.6], 0.5)[0] == pytest.approx(8.0)
    assert examples_equivalent([16, 1, 4], [0.6, 0.2, 0.4], 0.5)[0] == pytest.approx(8.0)


def test_words_that_no_number_of_examples_reaches_lie_above_the_curve():
    assert examples_equivalent([1, 2], [0.1, 0.2], 0.3) == (2.0, "above")
    assert examples_equivalent([1, 2], [0.1, 0.2], 0.05) == (1.0, "below")
    assert examples_equivalent([1, 2], [0.1, 0.2], 0.2) == (2.0, "within")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=6),
    st.floats(0.0, 1.0),
)
def test_numpys_interpolation_finds_the_same_number_of_examples(scores, target):
    shots = [2.0**k for k in range(len(scores))]
    rising = np.maximum.accumulate(scores)
    found, side = examples_equivalent(shots, scores, target)
    if side == "within" and len(set(rising)) == len(rising):
        expected = math.exp(np.interp(target, rising, np.log(shots)))
        assert found == pytest.approx(expected, rel=1e-9)
    assert shots[0] <= found <= shots[-1]


def test_the_interval_of_the_equivalence_covers_what_a_large_sample_shows():
    random = np.random.default_rng(1)
    chances = {1: 0.4, 2: 0.5, 4: 0.6, 8: 0.7}
    held = 0
    trials = 40
    for _ in range(trials):
        hard = random.normal(size=600)
        curve = {
            shots: (hard + random.normal(size=(3, 600)) * 0.5)
            < stats.norm.ppf(chance) * math.sqrt(1.25)
            for shots, chance in chances.items()
        }
        words = (hard + random.normal(size=600) * 0.5) < stats.norm.ppf(0.55) * math.sqrt(1.25)
        found = examples_equivalence(curve, words, resamples=300)
        held += found.low <= 2 * math.sqrt(2) <= found.high
    assert held / trials >= 0.88
    assert "examples per class" in str(found)


def test_other_test_samples_are_refused():
    with pytest.raises(InputError, match="3 test samples"):
        examples_equivalence({1: [[1, 0, 1]], 2: [[1, 1, 1]]}, [1, 0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.integers(4, 30), st.floats(-1, 1))
def test_r_and_its_interval_are_scipys(seed, n, slope):
    random = np.random.default_rng(seed)
    a = random.normal(size=n)
    b = slope * a + random.normal(size=n)
    found, expected = correlate(a, b, permutations=10), stats.pearsonr(a, b)
    limits = expected.confidence_interval(0.95)
    assert found.r == pytest.approx(expected.statistic, abs=1e-10)
    assert found.low == pytest.approx(limits.low, abs=1e-9)
    assert found.high == pytest.approx(limits.high, abs=1e-9)


def test_the_p_value_is_near_that_of_the_t_test_and_below_5_per_cent_of_nulls_are_rejected():
    random = np.random.default_rng(2)
    a = random.normal(size=20)
    b = 0.5 * a + random.normal(size=20)
    assert correlate(a, b).p_value == pytest.approx(stats.pearsonr(a, b).pvalue, abs=0.03)
    p_values = [
        correlate(random.normal(size=12), random.normal(size=12), permutations=199).p_value
        for _ in range(600)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 600)
    assert min(p_values) > 0


@pytest.mark.parametrize(
    ("a", "b"),
    [([1, 2, 3], [1, 2, 3]), ([1, 2, 3, 4], [1, 1, 1, 1]), ([1, 2, 3, math.nan], [1, 2, 3, 4])],
)
def test_scores_without_a_correlation_are_refused(a, b):
    with pytest.raises(InputError):
        correlate(a, b)


def test_a_straight_line_correlates_wholly():
    found = correlate([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert found.r == pytest.approx(1.0)
    assert found.high <= 1.0
    assert "n=5" in str(found)
