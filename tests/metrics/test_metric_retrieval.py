"""Recall at k: against brute force and scikit-learn, with ties, several captions, both ways."""

import itertools

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.metrics import (
    both_directions,
    hits_at_k,
    positives_by_id,
    recall_at_k,
    recalls_at,
    wilson,
)


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
    random = np.random.default_rng(seed)
    similarity, truth = random.random((rows, columns)), random.integers(columns, size=rows)
    k = int(random.integers(1, columns))
    reference = sklearn.metrics.top_k_accuracy_score(truth, similarity, k=k, labels=range(columns))
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
    monkeypatch.setattr("wordsight.metrics.retrieval._CHUNK_SCORES", 700)
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


def captioned(num_pictures=60, num_captions=5, noise=1.6, seed=3):
    random = np.random.default_rng(seed)
    images = random.standard_normal((num_pictures, 16)).astype(np.float32)
    picture_of_text = random.permutation(np.repeat(np.arange(num_pictures), num_captions))
    texts = images[picture_of_text] + noise * random.standard_normal(
        (len(picture_of_text), 16), dtype=np.float32
    )
    return images, texts, picture_of_text


def test_both_directions_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr("wordsight.metrics.retrieval._CHUNK_SCORES", 700)
    images, texts, picture_of_text = captioned()
    of_texts, of_images = both_directions(images, texts, picture_of_text)
    scores = images.astype(np.float64) @ texts.T
    for k in (1, 5, 10):
        best = np.argsort(-scores, axis=1)[:, :k]
        found = [row in picture_of_text[own] for row, own in enumerate(best)]
        assert of_texts[k] == wilson(sum(found), 60)
        best = np.argsort(-scores.T, axis=1)[:, :k]
        found = [own in row for own, row in zip(picture_of_text, best, strict=True)]
        assert of_images[k].value == pytest.approx(np.mean(found))
        assert of_images[k].n == 300
    assert of_texts[1].value > of_images[1].value  # any of five will do


def test_captions_of_one_picture_are_drawn_together():
    images, texts, picture_of_text = captioned(noise=2.5)
    texts = images[picture_of_text] + np.repeat(  # captions that share their luck
        2.2 * np.random.default_rng(4).standard_normal((60, 16)), 5, axis=0
    )[np.argsort(np.argsort(picture_of_text, kind="stable"))].astype(np.float32)
    positives = positives_by_id(picture_of_text, np.arange(60))
    alone = recall_at_k((texts, images), positives, 5)
    together = recall_at_k((texts, images), positives, 5, groups=picture_of_text)
    assert together.value == pytest.approx(alone.value)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_one_caption_a_picture_needs_no_groups():
    images, texts, picture_of_text = captioned(num_captions=1)
    _, of_images = both_directions(images, texts, picture_of_text, (1,))
    positives = positives_by_id(picture_of_text, np.arange(60))
    assert of_images == {1: recall_at_k((texts, images), positives, 1)}


def test_several_k_at_once_are_those_one_by_one():
    random = np.random.default_rng(5)
    scores = random.integers(0, 4, (30, 12)).astype(np.float32)
    positives = [random.permutation(12)[:2] for _ in range(30)]
    together = recalls_at(scores, positives, (1, 3, 11), seed=2)
    assert together == {k: recall_at_k(scores, positives, k, seed=2) for k in (1, 3, 11)}


def test_a_picture_without_a_text_is_refused():
    images, texts, _ = captioned()
    with pytest.raises(InputError, match="query 1 has id"):
        both_directions(images, texts, np.zeros(300, dtype=np.int64))
