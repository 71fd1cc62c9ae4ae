"""Mixtures of two models: their ends, the way between, and how one is chosen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.metrics import Estimate, wilson
from wordsight.training.adaptation.wise import CurvePoint, choose, mixture


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a.weight": torch.randn(4, 3, generator=generator),
        "b.bias": torch.randn(5, generator=generator),
        "count": torch.tensor(7),
    }


def test_the_ends_of_the_curve_are_the_two_models_to_the_bit():
    start, tuned = weights(0), weights(1)
    for share, end in ((0.0, start), (1.0, tuned)):
        found = mixture(start, tuned, share)
        assert all(torch.equal(found[name], end[name]) for name in end)
        found["a.weight"].zero_()
        assert end["a.weight"].abs().sum() > 0


@settings(max_examples=50, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_between_them_every_weight_moves_along_a_line(share, seed):
    start, tuned = weights(seed), weights(seed + 1)
    found = mixture(start, tuned, share)
    for name in ("a.weight", "b.bias"):
        line = (1 - share) * start[name].double() + share * tuned[name].double()
        assert (found[name].double() - line).abs().max() < 1e-6
    assert found["count"] == 7
    assert found["count"].dtype == torch.int64


def test_models_of_other_weights_are_refused():
    with pytest.raises(ValueError, match="alone"):
        mixture(weights(0), {"a.weight": torch.zeros(4, 3)}, 0.5)


def point(share: float, right: int, kept: int | None = None, *, n: int = 100) -> CurvePoint:
    test = {"target": wilson(n - right, n)}  # what a choice must not look at
    other: dict[str, Estimate] = {} if kept is None else {"other": wilson(kept, n)}
    return CurvePoint(share=share, validation=wilson(right, n), kept_validation=other, test=test)


def test_with_other_sets_the_best_geometric_mean_is_chosen():
    curve = [point(0.0, 50, 90), point(0.5, 80, 80), point(1.0, 90, 40)]
    assert choose(curve).share == 0.5
    curve = [point(0.0, 6, 8), point(0.5, 23, 5), point(1.0, 33, 2)]  # of few and of many classes
    assert choose(curve).share == 0.5


def test_of_equal_means_the_one_nearer_to_the_start_is_chosen():
    curve = [point(0.0, 50, 80), point(0.5, 80, 50), point(1.0, 90, 30)]
    assert choose(curve).share == 0.0


def test_a_set_that_is_wholly_forgotten_is_worth_half_a_picture():
    curve = [point(0.0, 10, 1), point(1.0, 90, 0)]
    assert choose(curve).share == 1.0
    assert choose([point(0.0, 10, 5), point(1.0, 90, 0)]).share == 0.0


def test_without_other_sets_luck_is_not_bought_with_forgetting():
    curve = [point(0.0, 50), point(0.5, 79), point(0.7, 87), point(1.0, 90)]
    assert choose(curve).share == 0.7  # one standard error below 90 of 100 is 87


def test_with_many_pictures_small_gains_count():
    curve = [point(0.7, 8_700, n=10_000), point(1.0, 9_000, n=10_000)]
    assert choose(curve).share == 1.0
