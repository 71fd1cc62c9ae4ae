"""Nothing is judged by a model, or by a threshold, that has seen it or its group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from wordsight.errors import DataError, InputError
from wordsight.evaluation.cross_validation import defect_scores, out_of_fold
from wordsight.evaluation.folds import group_folds
from wordsight.evaluation.targets import Targets
from wordsight.evaluation.thresholds import rule_for, threshold_for_targets


def logistic():
    return LogisticRegression(max_iter=200)


def tiles(*, seed, groups=60, size=4, width=40, signal=0.0, identity=3.0):
    """Pictures of parts: each part looks like itself, and its class shows by `signal`."""
    random = np.random.default_rng(seed)
    part = np.repeat(np.arange(groups), size)
    is_defect = random.permutation(np.arange(groups) % 2 == 0)[part]
    looks = random.normal(0, identity, (groups, width))[part]
    looks[:, 0] += signal * is_defect
    rows = looks + random.normal(0, 0.3, (len(part), width))
    labels = ["crack" if one else "good" for one in is_defect]
    return rows, labels, [f"part {one}" for one in part], is_defect


def test_a_planted_leak_through_groups_is_not_rewarded():
    """Parts are easily told apart, their classes are tosses of a coin: chance is all there is."""
    honest, leaking = [], []
    for seed in range(5):
        rows, labels, groups, _ = tiles(seed=seed)
        own = [str(i) for i in range(len(labels))]
        for found, of in ((honest, groups), (leaking, own)):
            guesses = out_of_fold(logistic, rows, labels, of, seed=seed).guesses
            found.append(np.mean(np.array(guesses) == labels))
    assert abs(np.mean(honest) - 0.5) < 0.08
    assert np.mean(leaking) > 0.9, "a split that ignores the groups would have been fooled"


def test_a_threshold_is_not_drawn_on_what_it_judges():
    """Without any signal, no threshold may reach more than chance on pictures it judges."""
    gains, on_the_same = [], []
    for seed in range(12):
        random = np.random.default_rng(seed)
        rows = random.normal(size=(60, 5))
        labels = ["crack"] * 12 + ["good"] * 48
        own = [str(i) for i in range(60)]
        found = out_of_fold(
            logistic, rows, labels, own, positive=["crack"], rule=rule_for(Targets()), seed=seed
        )
        is_defect = np.array(labels) == "crack"
        called = found.margins >= 0
        gains.append(called[is_defect].mean() + (~called[~is_defect]).mean() - 1)
        noise = random.normal(size=60)
        rates = [
            (noise[is_defect] >= cut).mean() + (noise[~is_defect] < cut).mean() for cut in noise
        ]
        on_the_same.append(max(rates) - 1)
    assert np.mean(gains) < 0.1
    assert np.mean(on_the_same) > 0.12, "drawn on what it judges, chance looks like skill"


def test_what_was_fitted_never_holds_what_is_asked_nor_its_group():
    rows, labels, groups, _ = tiles(seed=3, groups=20)
    group_of = {row.tobytes(): group for row, group in zip(rows, groups, strict=True)}
    checked = Counter()

    class Watch(LogisticRegression):
        def fit(self, X, y):
            self.seen_ = {group_of[row.tobytes()] for row in X}
            return super().fit(X, y)

        def decision_function(self, X):
            asked = {group_of[row.tobytes()] for row in X}
            assert not asked & self.seen_
            checked["calls"] += 1
            return super().decision_function(X)

    found = out_of_fold(
        Watch, rows, labels, groups, positive=["crack"], rule=rule_for(Targets(recall=0.9))
    )
    assert checked["calls"] == 5 + 5 * 5
    assert len(found.thresholds) == 5


def test_the_threshold_of_a_fold_does_not_move_when_its_own_labels_are_changed():
    rows, labels, groups, _ = tiles(seed=4, signal=4.0)
    rule = rule_for(Targets(recall=0.9, specificity=0.8))
    first = out_of_fold(logistic, rows, labels, groups, positive=["crack"], rule=rule)
    changed = rows.copy()
    inside = first.folds == 2
    changed[inside] += np.random.default_rng(0).normal(0, 3, changed[inside].shape)
    second = out_of_fold(logistic, changed, labels, groups, positive=["crack"], rule=rule)
    assert second.thresholds[2] == first.thresholds[2]
    assert second.thresholds[1] != first.thresholds[1]


def test_a_real_signal_is_found():
    rows, labels, groups, is_defect = tiles(seed=5, signal=15.0)
    rule = rule_for(Targets(recall=0.9, specificity=0.9))
    found = out_of_fold(logistic, rows, labels, groups, positive=["crack"], rule=rule)
    called = found.margins >= 0
    assert called[is_defect].mean() > 0.85
    assert (~called[~is_defect]).mean() > 0.85
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(len(labels)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=4, max_size=80),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_folds_keep_groups_whole_and_leave_every_class_to_learn_from(pictures, wanted, seed):
    labels = [label for label, _ in pictures]
    groups = [str(group) for _, group in pictures]
    try:
        folds = group_folds(labels, groups, num_folds=wanted, seed=seed)
    except DataError:
        return
    assert len(folds) == len(labels)
    assert folds.max() < wanted
    for group in set(groups):
        assert len({f for f, g in zip(folds, groups, strict=True) if g == group}) == 1
    for fold in range(folds.max() + 1):
        assert {x for x, f in zip(labels, folds, strict=True) if f != fold} == set(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    again = group_folds(
        [labels[i] for i in order], [groups[i] for i in order], num_folds=wanted, seed=seed
    )
    assert (again == folds[order]).all(), "the order of the pictures does not matter"


def test_folds_are_even_where_they_can_be():
    labels = ["crack"] * 20 + ["good"] * 80
    folds = group_folds(labels, [str(i) for i in range(100)], num_folds=5, seed=0)
    for fold in range(5):
        inside = [label for label, f in zip(labels, folds, strict=True) if f == fold]
        assert Counter(inside) == {"crack": 4, "good": 16}


def test_a_class_of_one_group_is_refused_with_advice():
    with pytest.raises(DataError, match=r"'crack' come in 1 group\(s\), expected 2") as caught:
        group_folds(["crack", "crack", "good", "good"], list("aabc"), num_folds=5, seed=0)
    assert "another part" in caught.value.hint
    rows = np.zeros((6, 2))
    with pytest.raises(DataError, match=r"'crack' come in 2 group\(s\), expected 3"):
        out_of_fold(
            logistic, rows, ["crack", "crack", *["good"] * 4], list("abcdef"),
            positive=["crack"], rule=rule_for(Targets()),
        )  # fmt: skip


def test_a_defect_nobody_photographed_and_a_missing_rule_are_refused():
    rows, labels, groups, _ = tiles(seed=0, groups=8)
    with pytest.raises(InputError, match="no picture is of the class 'dent'"):
        out_of_fold(logistic, rows, labels, groups, positive=["dent"], rule=rule_for(Targets()))
    with pytest.raises(InputError, match="one must be good"):
        out_of_fold(
            logistic, rows, labels, groups, positive=["crack", "good"], rule=rule_for(Targets())
        )
    with pytest.raises(InputError, match="need a rule"):
        out_of_fold(logistic, rows, labels, groups, positive=["crack"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=30),
    st.sampled_from([0.0, 0.5, 0.9, 0.95]),
    st.sampled_from([0.0, 0.5, 0.9]),
)
def test_the_threshold_is_the_best_of_all(pictures, recall, specificity):
    scores = np.array([score for score, _ in pictures], float)
    is_defect = np.array([one for _, one in pictures])
    if is_defect.all() or not is_defect.any():
        with pytest.raises(InputError, match="defects and of good parts"):
            threshold_for_targets(scores, is_defect, recall=recall, specificity=specificity)
        return

    def room(cut):
        found, passed = (scores[is_defect] >= cut).mean(), (scores[~is_defect] < cut).mean()
        return min((found - recall) / (1 - recall), (passed - specificity) / (1 - specificity))

    chosen = threshold_for_targets(scores, is_defect, recall=recall, specificity=specificity)
    assert room(chosen) == pytest.approx(max(map(room, np.arange(-0.5, 10))))


def test_costs_decide_where_they_are_given():
    scores, is_defect = np.array([0.0, 1, 2, 3]), np.array([False, True, False, True])
    dear = rule_for(Targets(miss_cost=100, false_alarm_cost=1))
    cheap = rule_for(Targets(miss_cost=1, false_alarm_cost=100))
    assert 0 < dear(scores, is_defect) <= 1
    assert 2 < cheap(scores, is_defect) <= 3


def test_log_odds_of_several_defects_are_those_of_their_probabilities():
    scores = np.array([[1.0, 2.0, 0.5], [0.0, -3.0, 4.0]])
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    defect = share[:, 0] + share[:, 2]
    expected = np.log(defect / (1 - defect))
    found = defect_scores(scores, np.array([True, False, True]))
    assert found == pytest.approx(expected)
    assert np.isfinite(defect_scores(np.array([[2000.0, 0.0]]), np.array([True, False]))).all()
