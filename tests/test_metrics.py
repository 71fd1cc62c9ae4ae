"""Every metric against scikit-learn, scipy, or the definition spelled out."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.config import from_dict, to_dict
from wordsight.errors import InputError
from wordsight.metrics import (
    Estimate,
    accuracy,
    balanced_accuracy,
    bootstrap,
    difference,
    hits_at_k,
    mcnemar,
    positives_by_id,
    recall_at_k,
    roc_auc,
    wilson,
)

labels = st.lists(st.sampled_from(["crack", "scratch", "good"]), min_size=2, max_size=40)
pairs_of_labels = labels.flatmap(
    lambda truth: st.tuples(
        st.just(truth), st.lists(st.sampled_from(truth), min_size=len(truth), max_size=len(truth))
    )
)


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


@settings(deadline=None)
@given(pairs_of_labels)
def test_accuracies_are_those_of_scikit_learn(both):
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, predicted = both
    assert accuracy(predicted, truth).value == pytest.approx(
        sklearn.accuracy_score(truth, predicted)
    )
    if len(set(truth)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = sklearn.balanced_accuracy_score(truth, predicted)
        ours = balanced_accuracy(predicted, truth)
        assert ours.value == pytest.approx(reference)
        assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_balanced_accuracy_claims_no_certainty_from_a_few_right_answers():
    estimate = balanced_accuracy(["a", "b", "b"], ["a", "b", "b"])
    assert estimate.value == estimate.high == 1
    assert estimate.low < 0.8


def test_the_interval_of_balanced_accuracy_holds_the_truth_95_times_in_100():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [60, 25, 15])
    chance = np.array([0.9, 0.7, 0.5])
    covered = 0
    for _ in range(600):
        right = random.random(len(truth)) < chance[truth]
        estimate = balanced_accuracy(np.where(right, truth, 9), truth)
        covered += estimate.low <= chance.mean() <= estimate.high
    assert 0.93 <= covered / 600 <= 0.98


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([], [], "predicted holds no labels"),
        (["a"], ["a", "b"], "1 predictions for 2 true labels"),
        (["a", "b"], [0, 1], "all words or all numbers"),
        (["a", float("nan")], ["a", "b"], r"predicted: label 1 is missing \(nan\)"),
        (["a", "b"], ["a", None], r"truth: label 1 is missing \(None\)"),
        ([1, "b"], ["a", "b"], "list of words or a list of numbers"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(predicted, truth, message):
    for metric in (accuracy, balanced_accuracy):
        with pytest.raises(InputError, match=message):
            metric(predicted, truth)


def test_balanced_accuracy_of_one_class_is_refused():
    with pytest.raises(InputError, match="needs two classes or more, the truth has only good"):
        balanced_accuracy(["good", "crack"], ["good", "good"])


def expected_hit(scores, positives, k):
    """Average over every order in which items of equal score may stand."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([bool(set(order[:k]) & set(positives)) for order in orders])


@st.composite
def tied_queries(draw):
    columns = draw(st.integers(2, 6))
    scores = draw(st.lists(st.integers(0, 2), min_size=columns, max_size=columns))
    positives = draw(st.sets(st.integers(0, columns - 1), min_size=1))
    return scores, sorted(positives), draw(st.integers(1, columns - 1))


@settings(max_examples=200, deadline=None)
@given(tied_queries())
def test_a_hit_is_the_average_over_all_orders_of_tied_scores(query):
    scores, positives, k = query
    [hit] = hits_at_k(np.array([scores], dtype=np.float32), [positives], k)
    assert hit == pytest.approx(expected_hit(scores, positives, k), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 8), columns=st.integers(3, 12), seed=st.integers(0, 999))
def test_recall_is_top_k_accuracy_when_each_query_has_one_positive(rows, columns, seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    similarity, truth = random.random((rows, columns)), random.integers(columns, size=rows)
    k = int(random.integers(1, columns))
    reference = sklearn.top_k_accuracy_score(truth, similarity, k=k, labels=range(columns))
    estimate = recall_at_k(similarity, truth[:, None], k)
    assert estimate == wilson(round(reference * rows), rows)


def test_embeddings_and_their_similarity_give_the_same_recall_in_both_directions():
    random = np.random.default_rng(1)
    images = random.standard_normal((40, 16)).astype(np.float32)
    texts = np.repeat(images, 5, axis=0) + 2 * random.standard_normal((200, 16), dtype=np.float32)
    picture_of_text = np.repeat(np.arange(40), 5)
    to_text = positives_by_id(np.arange(40), picture_of_text)
    to_image = positives_by_id(picture_of_text, np.arange(40))
    assert [len(own) for own in to_text] == [5] * 40
    for queries, gallery, positives in ((images, texts, to_text), (texts, images, to_image)):
        ranked = np.argsort(-(queries @ gallery.T), axis=1)[:, :5]
        slow = [bool(set(best) & set(own)) for best, own in zip(ranked, positives, strict=True)]
        estimate = recall_at_k((queries, gallery), positives, 5)
        assert estimate == recall_at_k(queries @ gallery.T, positives, 5)
        assert estimate.value == pytest.approx(np.mean(slow))
        assert 0.1 < estimate.value < 1


def test_a_space_that_puts_everything_in_one_place_scores_chance(monkeypatch):
    monkeypatch.setattr("wordsight.metrics._CHUNK_SCORES", 700)
    random = np.random.default_rng(2)
    one = random.standard_normal(300).astype(np.float32)
    collapsed = np.repeat(one[None] / np.linalg.norm(one), 100, axis=0)
    estimate = recall_at_k((collapsed, collapsed), [[i] for i in range(100)], 5)
    assert estimate.value == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("similarity", "positives", "k", "message"),
    [
        (np.array([[1.0, np.nan]]), [[0]], 1, r"similarity\[0, 1\] is nan"),
        ((np.array([[np.inf]]), np.ones((2, 1))), [[0]], 1, r"queries\[0, 0\] is inf"),
        ((np.ones((1, 2)), np.ones((3, 4))), [[0]], 1, r"one width, got shapes \(1, 2\)"),
        ((np.ones((0, 2)), np.ones((3, 2))), [], 1, "expected queries and a gallery"),
        (np.ones((0, 3)), [], 1, r"got shape \(0, 3\)"),
        (np.ones((1, 3)), [[]], 1, "query 0 has no positives"),
        (np.ones((1, 3)), [[3]], 1, r"query 0: positives must be columns within 0\.\.2"),
        (np.ones((1, 3)), [[0], [1]], 1, "2 lists of positives for 1 queries"),
        (np.ones((1, 3)), [[0]], 3, r"k must be within 1\.\.2, got 3"),
        (np.ones((1, 3)), [[0]], 0, r"k must be within 1\.\.2, got 0"),
    ],
)
def test_retrieval_that_makes_no_sense_is_refused(similarity, positives, k, message):
    with pytest.raises(InputError, match=message):
        recall_at_k(similarity, positives, k)


def test_a_query_that_nothing_can_answer_is_refused():
    with pytest.raises(InputError, match="query 1 has id 'b', which nothing in the gallery has"):
        positives_by_id(["a", "b"], ["a", "c"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({mark for _, mark in rows}) == 2
    )
)
def test_auc_is_that_of_scikit_learn_with_ties(rows):
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, marks = zip(*rows, strict=True)
    ours = roc_auc(scores, marks)
    assert ours.value == pytest.approx(sklearn.roc_auc_score(marks, scores))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def delong(scores, marks):
    """Variance of the AUC from the placement of each sample (DeLong et al., 1988)."""
    up, down = scores[marks], scores[~marks]
    wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
    variance = wins.mean(1).var(ddof=1) / len(up) + wins.mean(0).var(ddof=1) / len(down)
    return 1.96 * math.sqrt(variance)


def test_the_interval_of_the_auc_agrees_with_delong_on_large_samples():
    random = np.random.default_rng(3)
    marks = np.repeat([True, False], [1000, 1000])
    scores = random.standard_normal(2000) + 1.2 * marks
    ours = roc_auc(scores, marks)
    assert (ours.high - ours.low) / 2 == pytest.approx(delong(scores, marks), rel=0.05)


def test_the_interval_of_the_auc_holds_the_truth_on_small_samples():
    random = np.random.default_rng(4)
    truth = 0.5 * (1 + math.erf(1.5 / 2))  # two unit normals 1.5 apart
    marks = np.repeat([True, False], [12, 20])
    covered = sum(
        estimate.low <= truth <= estimate.high
        for estimate in (
            roc_auc(random.standard_normal(32) + 1.5 * marks, marks) for _ in range(600)
        )
    )
    assert 0.92 <= covered / 600 <= 0.99
    perfect = roc_auc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert perfect.value == perfect.high == 1
    assert perfect.low < 0.6


@pytest.mark.parametrize(
    ("scores", "marks", "message"),
    [
        ([0.1, math.nan], [0, 1], r"scores\[1\] is nan"),
        ([], [], "got 0 positive, 0 negative"),
        ([0.1, 0.2], [1, 1], "got 2 positive, 0 negative"),
        ([0.1, 0.2], [1], "as many marks as scores"),
        ([0.1, 0.2], [1, 2], "true and false"),
    ],
)
def test_an_auc_that_makes_no_sense_is_refused(scores, marks, message):
    with pytest.raises(InputError, match=message):
        roc_auc(scores, marks)


def test_bootstrap_repeats_itself_and_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).exponential(size=80)
    ours = bootstrap(values, np.median, seed=7)
    assert ours == bootstrap(values, np.median, seed=7)
    assert ours != bootstrap(values, np.median, seed=8)
    reference = stats.bootstrap(
        (values,), np.median, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert ours.low == pytest.approx(reference.low, abs=0.05)
    assert ours.high == pytest.approx(reference.high, abs=0.05)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [[1.0], [2.0]]])
def test_a_bootstrap_of_nothing_or_nan_is_refused(values):
    with pytest.raises(InputError):
        bootstrap(values, np.mean, seed=0)


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


def test_a_difference_has_newcombes_interval():
    after, before = wilson(56, 70), wilson(48, 80)  # the worked example of Newcombe (1998)
    estimate = difference(after, before)
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low == pytest.approx(0.0524, abs=5e-5)
    assert estimate.high == pytest.approx(0.3339, abs=5e-5)
