"""The three losses against their published formulas, spelled out in float64 numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wordsight.training.compression.losses import decision_loss, feature_loss, similarity_loss


def unit(rng: np.random.Generator, rows: int, width: int) -> NDArray[np.float64]:
    found = rng.normal(size=(rows, width))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def divergence(own: NDArray[np.float64], goal: NDArray[np.float64]) -> float:
    """Mean over the rows of sum p log (p / q), Kullback and Leibler (1951)."""
    return float(np.mean([np.sum(p * np.log(p / q)) for p, q in zip(goal, own, strict=True)]))


SHAPES = st.tuples(st.integers(1, 9), st.integers(2, 12), st.integers(1, 20), st.integers(0, 2**32))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.floats(0.5, 60))
def test_all_losses_are_their_formulas(shape: tuple[int, int, int, int], scale: float):
    rows, width, others, seed = shape
    rng = np.random.default_rng(seed)
    student, parent, bank = unit(rng, rows, width), unit(rng, rows, width), unit(rng, others, width)
    given = [torch.tensor(array, dtype=torch.float64) for array in (student, parent, bank)]
    squared = np.mean(np.sum((student - parent) ** 2, axis=1)) / 2
    assert float(feature_loss(given[0], given[1])) == pytest.approx(squared, abs=1e-12)
    wanted = divergence(softmax(scale * student @ bank.T), softmax(scale * parent @ bank.T))
    for loss in (similarity_loss, decision_loss):
        assert float(loss(*given, scale=scale)) == pytest.approx(wanted, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("loss", [similarity_loss, decision_loss])
def test_the_gradient_is_the_difference_of_the_probabilities(loss):
    rng = np.random.default_rng(0)
    student, parent, bank = unit(rng, 5, 8), unit(rng, 5, 8), unit(rng, 7, 8)
    own = torch.tensor(student, requires_grad=True)
    loss(own, torch.tensor(parent), torch.tensor(bank), scale=9.0).backward()
    probabilities = [softmax(9.0 * vectors @ bank.T) for vectors in (student, parent)]
    wanted = 9.0 * (probabilities[0] - probabilities[1]) @ bank / 5
    assert own.grad is not None
    np.testing.assert_allclose(own.grad.numpy(), wanted, atol=1e-12)


def test_a_student_that_says_the_same_has_nothing_to_learn():
    vectors = torch.tensor(unit(np.random.default_rng(1), 6, 10), requires_grad=True)
    bank = torch.tensor(unit(np.random.default_rng(2), 9, 10))
    goal = vectors.detach()
    total = similarity_loss(vectors, goal, bank, scale=100.0)
    total = total + decision_loss(vectors, goal, bank, scale=100.0) + feature_loss(vectors, goal)
    total.backward()
    assert float(total.detach()) == pytest.approx(0, abs=1e-12)
    assert vectors.grad is not None
    # what is left points along the vectors, which cannot grow: they have length 1
    across = vectors.grad - (vectors.grad * goal).sum(dim=1, keepdim=True) * goal
    assert float(across.abs().max()) < 1e-12


def test_losses_of_half_precision_are_computed_in_full():
    rng = np.random.default_rng(3)
    student, parent, bank = (torch.tensor(unit(rng, 4, 16)).bfloat16() for _ in range(3))
    whole = decision_loss(student.double(), parent.double(), bank.double(), scale=50.0)
    assert float(decision_loss(student, parent, bank, scale=50.0)) == pytest.approx(
        float(whole), rel=1e-5
    )


def test_spaces_of_other_widths_are_refused():
    with pytest.raises(ValueError, match="not rows of one space"):
        similarity_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4), scale=1.0)
    with pytest.raises(ValueError, match="student"):
        feature_loss(torch.zeros(2, 3), torch.zeros(2, 4))
