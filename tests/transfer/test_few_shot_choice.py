"""Held-out shots choose honestly, and the guard steps in where the words do better."""

import numpy as np
import pytest
from few_shot_worlds import make_shots, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.transfer.few_shot.choice import METHODS, fit_chosen, guard_of, stand_guard
from wordsight.transfer.few_shot.holding_out import (
    Chosen,
    choose_setting,
    deal_folds,
    held_out_scores,
    tempered_loss,
)
from wordsight.transfer.few_shot.prior import PRIOR_LOGISTIC, careful_setting, fit_prior
from wordsight.transfer.few_shot.shots import Shots

pytest.importorskip("scipy")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    classes=st.integers(2, 6),
    per_class=st.integers(2, 20),
)
def test_folds_spread_every_class_evenly(seed: int, classes: int, per_class: int):
    shots = make_shots(seed, classes=classes, per_class=per_class)
    fold = deal_folds(shots, seed)
    num_folds = min(5, per_class)
    assert set(fold) == set(range(num_folds))
    for place in range(classes):
        counts = np.bincount(fold[shots.truth == place], minlength=num_folds)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(fold, deal_folds(shots, seed))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), objects=st.integers(2, 30))
def test_no_fold_splits_an_object(seed: int, objects: int):
    shots = make_shots(seed, per_class=8)
    groups = np.random.default_rng(seed).integers(0, objects, len(shots.truth))
    grouped = Shots(shots.rows, shots.truth, shots.words, shots.scale, groups)
    fold = deal_folds(grouped, seed)
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == 1
    assert grouped.per_class == min(len(set(groups[shots.truth == c])) for c in range(4))


def test_held_out_scores_are_those_of_fits_that_never_saw_the_shot():
    shots = make_shots(1, per_class=6)
    fold = deal_folds(shots, 0)
    settings_ = [(0.1, 1.0), (1.0, 0.5)]
    found = held_out_scores(PRIOR_LOGISTIC, shots, settings_, fold)
    for place, (penalty, trust) in enumerate(settings_):
        for number in range(5):
            out = fold == number
            fitted = fit_prior(shots.part(~out), penalty, trust)
            expected = fitted.scores(shots.rows[out])
            np.testing.assert_allclose(found[place, out], expected, atol=1e-2)


def test_the_setting_of_least_held_out_loss_is_chosen():
    shots = make_shots(2, per_class=6, noise=1.0)
    fold = deal_folds(shots, 0)
    chosen = choose_setting(PRIOR_LOGISTIC, shots, fold)
    for setting in PRIOR_LOGISTIC.settings(shots):
        assert chosen.loss <= choose_setting(PRIOR_LOGISTIC.at(setting), shots, fold).loss + 1e-3
    assert chosen.loss == tempered_loss(chosen.held_out, shots.truth)


def test_with_one_shot_a_class_nothing_is_chosen_by_held_out_shots():
    shots = make_shots(3, per_class=1)
    chosen, guard = fit_chosen(shots, "auto", 0)
    assert chosen.setting == careful_setting(shots)
    assert not guard.stepped_in
    assert guard.method.n == 4


def test_one_object_photographed_often_is_one_shot():
    shots = make_shots(3, per_class=5)
    same = Shots(shots.rows, shots.truth, shots.words, shots.scale, shots.truth)
    assert same.per_class == 1
    assert fit_chosen(same, "auto", 0)[0].setting == careful_setting(same)


@pytest.mark.parametrize("seed", range(6))
def test_shots_from_another_place_do_not_drown_the_words(seed: int):
    rng = np.random.default_rng(seed)
    words = unit(rng.normal(size=(4, 12)))
    truth = np.tile(np.arange(4), 40)
    pictures = unit(words[truth] + 0.15 * rng.normal(size=(160, 12)))
    # The shots come from a place where pictures say nothing of their class but little by words.
    rows = unit(0.05 * words[truth[:16]] + rng.normal(size=12) + 0.01 * rng.normal(size=(16, 12)))
    chosen, guard = fit_chosen(Shots(rows, truth[:16], words, 20.0, np.arange(16)), "auto", seed)
    by_words = np.mean((pictures @ words.T).argmax(axis=1) == truth)
    assert np.mean(chosen.scorer.scores(pictures).argmax(axis=1) == truth) >= by_words - 0.05
    assert guard.method.n == 16


@pytest.mark.parametrize("seed", range(6))
def test_the_guard_replaces_a_method_that_held_out_shots_say_is_worse_than_words(seed: int):
    rng = np.random.default_rng(seed)
    words = unit(rng.normal(size=(4, 12)))
    truth = np.tile(np.arange(4), 3)
    rows = unit(words[truth] + 0.25 * rng.normal(size=(12, 12)))
    shots = Shots(rows, truth, words, 20.0, np.arange(12))
    fold = deal_folds(shots, seed)
    sound = choose_setting(PRIOR_LOGISTIC, shots, fold)
    bad = Chosen("nearest", (), sound.scorer, rng.normal(size=(12, 4)), 9.0)
    chosen, guard = stand_guard(bad, shots, fold)
    assert guard.stepped_in
    assert (chosen.method, chosen.setting) == ("prior_logistic", (1.0, 1.0))
    unsure = Chosen("nearest", (), sound.scorer, shots.zero_shot(rows), 9.0)
    assert stand_guard(unsure, shots, fold) == (unsure, guard_of(unsure, shots))


def test_the_guard_counts_right_answers_and_tests_them_in_pairs():
    stats = pytest.importorskip("scipy.stats")
    shots = make_shots(4, per_class=6, noise=0.8)
    chosen, guard = fit_chosen(shots, "nearest", 0)
    by_method = chosen.held_out.argmax(axis=1) == shots.truth
    by_words = (shots.rows @ shots.words.T).argmax(axis=1) == shots.truth
    assert guard.method.value == by_method.mean()
    assert guard.zero_shot.value == by_words.mean()
    first, second = int(np.sum(by_method & ~by_words)), int(np.sum(by_words & ~by_method))
    exact = stats.binomtest(first, first + second).pvalue
    seen = stats.binom.pmf(first, first + second, 0.5)
    assert guard.p_value == pytest.approx(exact - seen / (2 if first == second else 1))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_tells_what_held_out_shots_say(method: str):
    shots = make_shots(5, per_class=4, noise=0.3)
    chosen, guard = fit_chosen(shots, method, 0)
    assert chosen.method == method
    scores = chosen.scorer.scores(shots.rows)
    assert scores.shape == (16, 4)
    assert np.isfinite(scores).all()
    assert np.mean(scores.argmax(axis=1) == shots.truth) > 0.7
    assert guard.method.n == guard.zero_shot.n == 16


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("per_class", [1, 2])
def test_every_method_takes_classes_without_shots(method: str, per_class: int):
    shots = make_shots(6, classes=5, per_class=per_class)
    some = shots.part(shots.truth > 1)
    chosen, _ = fit_chosen(some, method, 0)
    assert np.isfinite(chosen.scorer.scores(shots.rows)).all()
