"""Sets of classes hold the right one as often as promised, whatever the model."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wordsight.errors import InputError
from wordsight.transfer.conformal import fit_conformal, measured_coverage, strangeness

METHODS = ["least", "adaptive"]


def guesses(rng: np.random.Generator, n: int, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident probabilities with true columns: a model that is wrong about itself."""
    truth = rng.integers(classes, size=n)
    logits = 1.5 * (
        np.eye(classes)[truth] * rng.exponential(size=(n, 1)) + rng.normal(size=(n, classes))
    )
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "miss_rate"), [(50, 0.1), (200, 0.05)])
def test_coverage_is_as_promised_in_simulation(method: str, n: int, miss_rate: float):
    rng = np.random.default_rng(0)
    k = math.ceil((n + 1) * (1 - miss_rate) - 1e-9)
    covered = []
    for _ in range(120):
        found = fit_conformal(*guesses(rng, n), miss_rate=miss_rate, method=method)
        chances, truth = guesses(rng, 1000)
        covered.append(measured_coverage(found.sets(chances), truth).value)
    error = 4 * np.std(covered) / math.sqrt(len(covered))
    assert np.mean(covered) >= 1 - miss_rate - error
    if method == "adaptive":  # pictures whose right class is the last are all equally strange
        return
    assert np.mean(covered) == pytest.approx(k / (n + 1), abs=error)
    low, high = found.coverage.low, found.coverage.high
    spread = 2 * math.sqrt(0.25 / 1000) * miss_rate  # what 1,000 pictures cannot tell
    inside = [(low - spread <= share <= high + spread) for share in covered]
    assert np.mean(inside) >= 0.85


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 60), miss_rate=st.floats(0.02, 0.98))
@pytest.mark.parametrize("method", METHODS)
def test_sets_are_those_of_the_definition(method: str, seed: int, n: int, miss_rate: float):
    rng = np.random.default_rng(seed)
    chances, truth = guesses(rng, n, 4)
    k = math.ceil((n + 1) * (1 - miss_rate) - 1e-9)
    if k > n:
        with pytest.raises(InputError, match="cannot promise a miss rate") as caught:
            fit_conformal(chances, truth, miss_rate=miss_rate, method=method)
        needed = int(caught.value.hint.split()[1])
        assert math.ceil((needed + 1) * (1 - miss_rate) - 1e-9) <= needed
        return
    found = fit_conformal(chances, truth, miss_rate=miss_rate, method=method)
    beta = stats.beta(k, n + 1 - k)
    assert found.coverage.low == pytest.approx(beta.ppf(0.025), abs=1e-9)
    assert found.coverage.high == pytest.approx(beta.ppf(0.975), abs=1e-9)

    def strange(row: np.ndarray, column: int) -> float:
        if method == "least":
            return 1 - row[column]
        return sum(p for p in row if p >= row[column])

    own = sorted(strange(row, column) for row, column in zip(chances, truth, strict=True))
    new, _ = guesses(rng, 5, 4)
    for row, held in zip(new, found.sets(new), strict=True):
        for column in range(4):
            value = strange(row, column)
            if abs(value - own[k - 1]) > 1e-9:
                assert held[column] == (value <= own[k - 1])


def test_adaptive_sets_hold_the_best_class_first():
    chances = np.array([[0.5, 0.3, 0.2], [0.98, 0.01, 0.01]])
    np.testing.assert_allclose(
        strangeness(chances, "adaptive"), [[0.5, 0.8, 1.0], [0.98, 0.99, 1.0]]
    )
    np.testing.assert_allclose(strangeness(chances, "least"), 1 - chances)


def test_sets_are_larger_on_hard_pictures_and_with_a_stricter_promise():
    rng = np.random.default_rng(1)
    chances, truth = guesses(rng, 2000)
    sizes = [
        fit_conformal(chances, truth, miss_rate=rate).sets(chances).sum(axis=1).mean()
        for rate in (0.3, 0.1, 0.02)
    ]
    assert sizes == sorted(sizes)
    sets = fit_conformal(chances, truth, method="adaptive").sets(chances)
    sure = chances.max(axis=1)
    assert sets[sure < 0.6].sum(axis=1).mean() > sets[sure > 0.99].sum(axis=1).mean()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones((9, 2)) / 2, [0] * 8), {}, "a column for each of 9"),
        ((np.ones((9, 2)) / 2, [2] * 9), {}, "within 0..1"),
        ((np.ones((9, 2)) / 2, [0.5] * 9), {}, "a column for each"),
        ((np.ones(9), [0] * 9), {}, "probabilities"),
        ((np.full((9, 2), np.nan), [0] * 9), {}, "finite probabilities"),
        ((np.ones((8, 2)) / 2, [0] * 8), {}, "8 pictures cannot promise a miss rate of 0.1"),
        ((np.ones((9, 2)) / 2, [0] * 9), {"miss_rate": 0.0}, "between 0 and 1"),
        ((np.ones((9, 2)) / 2, [0] * 9), {"method": "lest"}, "unknown method 'lest'"),
    ],
)
def test_what_cannot_be_promised_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        fit_conformal(*arguments, **options)
