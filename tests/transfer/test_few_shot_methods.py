"""Every few-shot method is its published formula, in float64."""

import numpy as np
import pytest
from few_shot_worlds import make_shots, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.transfer.few_shot.constrained import class_penalties, fit_constrained
from wordsight.transfer.few_shot.evidence import PENALTIES, log_evidence, penalty_by_evidence
from wordsight.transfer.few_shot.gaussian import discriminant, fit_gaussian
from wordsight.transfer.few_shot.lp_plus_plus import fit_blend, fit_lp_plus_plus
from wordsight.transfer.few_shot.nearest import Neighbours
from wordsight.transfer.few_shot.prior import careful_setting, fit_prior
from wordsight.transfer.few_shot.shots import Shots
from wordsight.transfer.few_shot.tip_adapter import (
    Memory,
    fit_tip_adapter,
    fit_tip_adapter_f,
    loss_and_gradient,
)

optimize = pytest.importorskip("scipy.optimize")
seeds = st.integers(0, 2**16)


def cross_entropies(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found = []
    for row, place in zip(logits, truth, strict=True):
        found.append(np.log(np.sum(np.exp(row - row.max()))) + row.max() - row[place])
    return np.array(found)


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def minimum(loss, size: int) -> np.ndarray:
    """The minimiser by scipy, with slopes by differences: nothing of ours."""
    found = optimize.minimize(loss, np.zeros(size), method="BFGS", options={"gtol": 1e-7})
    return found.x


@settings(max_examples=15, deadline=None)
@given(seed=seeds, penalty=st.floats(0.05, 3), trust=st.floats(0, 1))
def test_the_prior_is_what_the_weights_are_drawn_to(seed: int, penalty: float, trust: float):
    shots = make_shots(seed, classes=3, width=4)
    prior = trust * shots.scale * shots.words

    def loss(shift: np.ndarray) -> float:
        logits = shots.rows @ (prior + shift.reshape(3, 4)).T
        return cross_entropies(logits, shots.truth).sum() + penalty / 2 * shift @ shift

    expected = prior + minimum(loss, 12).reshape(3, 4)
    found = fit_prior(shots, penalty, trust)
    np.testing.assert_allclose(found.coef, expected, atol=5e-3)
    assert loss((found.coef - prior).ravel()) <= loss((expected - prior).ravel()) + 1e-5
    assert not found.intercept.any()


def test_without_trust_it_is_scikit_learns_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    shots = make_shots(1, per_class=8)
    theirs = linear_model.LogisticRegression(C=1 / 0.3, fit_intercept=False, tol=1e-8)
    theirs.fit(shots.rows, shots.truth)
    np.testing.assert_allclose(fit_prior(shots, 0.3, 0.0).coef, theirs.coef_, atol=2e-3)


def test_with_a_strong_prior_it_is_the_zero_shot_classifier():
    shots = make_shots(2)
    pictures = unit(np.random.default_rng(0).normal(size=(9, 7)))
    scores = fit_prior(shots, 1e7).scores(pictures)
    np.testing.assert_allclose(scores, shots.scale * pictures @ shots.words.T, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, penalty=st.floats(0.05, 5))
def test_the_evidence_is_laplaces_with_the_whole_curvature(seed: int, penalty: float):
    shots = make_shots(seed, classes=3, width=4, per_class=2)
    fitted = fit_prior(shots, penalty)
    curvature = penalty * np.eye(12)
    for row, share in zip(shots.rows, probabilities(shots.rows @ fitted.coef.T), strict=True):
        curvature += np.kron(np.diag(share) - np.outer(share, share), np.outer(row, row))
    shift = fitted.coef - shots.scale * shots.words
    expected = -cross_entropies(shots.rows @ fitted.coef.T, shots.truth).sum()
    expected += -penalty / 2 * (shift**2).sum() + 12 / 2 * np.log(penalty)
    expected += -np.linalg.slogdet(curvature)[1] / 2
    assert log_evidence(shots, fitted, penalty) == pytest.approx(expected, abs=1e-8)


def test_the_evidence_trusts_words_that_are_right_and_lets_go_of_those_that_are_wrong():
    shots = make_shots(3, per_class=10, noise=0.2, scale=20)
    wrong = Shots(shots.rows, (shots.truth + 1) % 4, shots.words, shots.scale, shots.groups)
    assert penalty_by_evidence(shots) > penalty_by_evidence(wrong)
    assert penalty_by_evidence(wrong) in PENALTIES


def test_a_single_shot_a_class_trusts_the_words_until_they_are_wrong_on_most():
    shots = make_shots(4, classes=10, per_class=1, width=20, noise=0.1)
    for right, expected in ((10, 1.0), (4, 1.0), (3, 0.5), (0, 0.5)):
        truth = shots.zero_shot(shots.rows).argmax(axis=1)
        truth[right:] = (truth[right:] + 1) % 10
        seen = Shots(shots.rows, truth, shots.words, shots.scale, shots.groups)
        assert careful_setting(seen)[1] == expected


@settings(max_examples=20, deadline=None)
@given(seed=seeds, classes=st.integers(3, 5), per_class=st.integers(2, 9), width=st.integers(2, 9))
def test_the_gaussians_are_scikit_learns_at_the_same_shrinkage(seed, classes, per_class, width):
    lda = pytest.importorskip("sklearn.discriminant_analysis").LinearDiscriminantAnalysis
    shots = make_shots(seed, classes=classes, per_class=per_class, width=width)
    count = len(shots.truth)
    # (M - 1) S + tr(S) I is proportional to (1 - s) S + s tr(S) / E I for s / (1 - s) = E / (M - 1)
    shrinkage = width / (width + count - 1)
    theirs = lda(solver="lsqr", shrinkage=shrinkage, priors=np.full(classes, 1 / classes))
    theirs.fit(shots.rows, shots.truth)
    factor = width * (1 - shrinkage) / count
    ours = discriminant(shots)
    np.testing.assert_allclose(ours.coef, factor * theirs.coef_, rtol=1e-6, atol=1e-8)
    expected = factor * (theirs.intercept_ + np.log(classes))
    np.testing.assert_allclose(ours.intercept, expected, rtol=1e-6, atol=1e-8)
    both = fit_gaussian(shots, 0.3).scores(shots.rows)
    np.testing.assert_allclose(both, shots.zero_shot(shots.rows) + 0.3 * ours.scores(shots.rows))


def test_one_shot_a_class_makes_the_gaussians_the_nearest_mean():
    shots = make_shots(5, per_class=1)
    pictures = unit(np.random.default_rng(1).normal(size=(50, 7)))
    distance = ((pictures[:, None] - shots.rows[None]) ** 2).sum(axis=2)
    best = discriminant(shots).scores(pictures).argmax(axis=1)
    np.testing.assert_array_equal(best, shots.truth[distance.argmin(axis=1)])


@settings(max_examples=20, deadline=None)
@given(seed=seeds, alpha=st.floats(0.01, 2), beta=st.floats(0.1, 20))
def test_tip_adapter_is_its_formula_one_number_at_a_time(seed: int, alpha: float, beta: float):
    shots = make_shots(seed, classes=3, per_class=2, width=4)
    pictures = unit(np.random.default_rng(seed).normal(size=(5, 4)))
    expected = np.zeros((5, 3))
    for n in range(5):
        for c in range(3):
            expected[n, c] = shots.scale * sum(pictures[n, e] * shots.words[c, e] for e in range(4))
            for m in range(6):
                if shots.truth[m] == c:
                    cosine = sum(pictures[n, e] * shots.rows[m, e] for e in range(4))
                    expected[n, c] += alpha * shots.scale * np.exp(-beta * (1 - cosine))
    np.testing.assert_allclose(fit_tip_adapter(shots, alpha, beta).scores(pictures), expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_of_the_keys_is_that_of_differences_and_of_autograd(seed: int):
    torch = pytest.importorskip("torch")
    shots = make_shots(seed, per_class=2)
    memory = fit_tip_adapter(shots, 0.2, 4.0)
    rng = np.random.default_rng(seed)
    memory = Memory(
        memory.words, memory.keys + 0.1 * rng.normal(size=memory.keys.shape), memory.values, 2.0, 4
    )
    loss, gradient = loss_and_gradient(memory, shots)
    keys = torch.tensor(memory.keys, requires_grad=True)
    rows = torch.tensor(shots.rows)
    near = torch.exp(-4 * (1 - rows @ keys.T))
    logits = rows @ torch.tensor(memory.words).T + 2.0 * near @ torch.tensor(memory.values)
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor(shots.truth))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=1e-12)
    np.testing.assert_allclose(gradient, keys.grad.numpy(), atol=1e-12)
    for m, e in ((0, 0), (3, 5), (7, 6)):
        step = np.zeros_like(memory.keys)
        step[m, e] = 1e-6
        ends = [
            loss_and_gradient(
                Memory(memory.words, memory.keys + sign * step, memory.values, 2.0, 4), shots
            )[0]
            for sign in (1, -1)
        ]
        assert gradient[m, e] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_the_learnt_keys_are_those_of_torchs_adam_with_a_cosine_rate():
    torch = pytest.importorskip("torch")
    shots = make_shots(7, per_class=4, noise=1.0)
    keys = torch.nn.Parameter(torch.tensor(shots.rows))
    adam = torch.optim.Adam([keys], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 30)
    rows, truth = torch.tensor(shots.rows), torch.tensor(shots.truth)
    words, values = torch.tensor(shots.words), torch.tensor(shots.one_hot)
    for _ in range(30):
        near = torch.exp(-5 * (1 - rows @ keys.T))
        logits = shots.scale * (rows @ words.T + 0.3 * near @ values)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(logits, truth).backward()
        adam.step()
        schedule.step()
    found = fit_tip_adapter_f(shots, 0.3, 5.0, epochs=30, rate=0.01)
    np.testing.assert_allclose(found.keys, keys.detach().numpy(), atol=1e-7)
    start = loss_and_gradient(fit_tip_adapter(shots, 0.3, 5.0), shots)[0]
    assert loss_and_gradient(found, shots)[0] < start


def test_lp_plus_plus_never_rises_and_reaches_the_optimum_of_scipy():
    shots = make_shots(8, classes=3, per_class=20, width=3, noise=1.0, wrong=0.5, scale=3.0)
    cosines = shots.rows @ shots.words.T

    def loss(both: np.ndarray) -> float:
        logits = shots.rows @ both[:9].reshape(3, 3).T + both[9:] * cosines
        return cross_entropies(logits, shots.truth).mean()

    lowest = loss(minimum(loss, 12))
    found = fit_blend(shots, cycles=400)
    assert np.all(np.diff(found.losses) <= 1e-12)
    assert found.losses[-1] == pytest.approx(lowest, abs=1e-5)
    both = np.concatenate([found.prototypes.ravel(), found.multipliers])
    assert found.losses[-1] == pytest.approx(loss(both), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.floats(1, 100))
def test_lp_plus_plus_starts_at_the_words_and_descends_whatever_the_scale(seed: int, scale: float):
    shots = make_shots(seed, scale=scale)
    start = fit_lp_plus_plus(shots, cycles=0)
    np.testing.assert_allclose(start.scores(shots.rows), shots.zero_shot(shots.rows), atol=1e-9)
    assert np.all(np.diff(fit_blend(shots, cycles=5).losses) <= 1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_class_adaptive_penalty_has_scipys_optimum(seed: int):
    shots = make_shots(seed, classes=3, width=4, noise=1.0)
    shares = probabilities(shots.zero_shot(shots.rows))
    penalties = np.array(
        [
            np.mean([p[c] for p, t in zip(shares, shots.truth, strict=True) if t == c])
            for c in (0, 1, 2)
        ]
    )
    np.testing.assert_allclose(class_penalties(shots), penalties)

    def loss(flat: np.ndarray) -> float:
        vectors = flat.reshape(3, 4)
        logits = shots.scale * shots.rows @ vectors.T
        drift = ((vectors - shots.words) ** 2).sum(axis=1)
        return cross_entropies(logits, shots.truth).mean() + penalties @ drift

    expected = minimum(loss, 12)
    found = fit_constrained(shots).coef / shots.scale
    np.testing.assert_allclose(found, expected.reshape(3, 4), atol=1e-3)


def test_a_class_without_a_shot_is_held_as_the_others_are():
    shots = make_shots(3, classes=4)
    kept = shots.part(shots.truth != 2)
    penalties = class_penalties(kept)
    assert penalties[2] == pytest.approx(np.mean(penalties[[0, 1, 3]]))
    assert np.isfinite(fit_constrained(kept).coef).all()


@settings(max_examples=20, deadline=None)
@given(seed=seeds, neighbours=st.integers(1, 15), share=st.floats(0.05, 0.95))
def test_nearest_neighbours_vote_as_written(seed: int, neighbours: int, share: float):
    shots = make_shots(seed)
    pictures = unit(np.random.default_rng(seed).normal(size=(6, 7)))
    found = Neighbours(shots, neighbours, share).scores(pictures)
    words = probabilities(shots.zero_shot(pictures))
    for n, picture in enumerate(pictures):
        cosines = [float(picture @ row) for row in shots.rows]
        order = sorted(range(len(cosines)), key=lambda m: -cosines[m])[:neighbours]
        votes = np.zeros(4)
        for m in order:
            votes[shots.truth[m]] += np.exp(cosines[m] / 0.07)
        expected = (1 - share) * words[n] + share * votes / votes.sum()
        np.testing.assert_allclose(np.exp(found[n]), expected, atol=1e-12)
