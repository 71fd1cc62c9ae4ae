"""The relation of pictures and sentences against its definition, pair by pair."""

import time
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data import Pair, Pairs, find_positives, sentence_key

SPELLINGS = ["a cat", "A  Cat", " a\tcat", "dog", "DOG", "Straße", "STRASSE", "鳥"]
rows = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(SPELLINGS)), max_size=40)


def build(rows):
    return Pairs(Pair(Path(f"{image}.jpg"), text, i, "t") for i, (image, text) in enumerate(rows))


def is_same(a, b):
    return a.lower().replace("ß", "ss").split() == b.lower().replace("ß", "ss").split()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), rows=rows)
def test_a_block_is_true_exactly_where_some_pair_links_picture_and_sentence(data, rows):
    pairs = build(rows)
    positives = find_positives(pairs)
    num_images, num_texts = positives.num_images, len(positives.texts)
    pick = st.lists(st.integers(0, num_images - 1)) if num_images else st.just([])
    images = data.draw(pick)
    texts = data.draw(st.lists(st.integers(0, num_texts - 1)) if num_texts else st.just([]))
    block = positives.block(images, texts)
    assert block.shape == (len(images), len(texts))
    assert block.dtype == np.bool_
    for i, image in enumerate(images):
        for j, text in enumerate(texts):
            linked = any(
                pair.image == pairs.images[image] and is_same(pair.text, positives.texts[text])
                for pair in pairs
            )
            assert block[i, j] == linked


@given(rows=rows)
def test_every_pair_knows_its_picture_and_its_sentence(rows):
    pairs = build(rows)
    positives = find_positives(pairs)
    assert len(positives.image_of_pair) == len(positives.text_of_pair) == len(pairs)
    for pair, image, text in zip(
        pairs, positives.image_of_pair, positives.text_of_pair, strict=True
    ):
        assert pairs.images[image] == pair.image
        assert is_same(positives.texts[text], pair.text)
    assert len({sentence_key(text) for text in positives.texts}) == len(positives.texts)


def test_a_shared_sentence_is_positive_for_both_pictures_and_both_sentences_for_one():
    positives = find_positives(build([(0, "scratch"), (1, "scratch"), (1, "deep scratch")]))
    assert positives.block([0, 1], [0, 1]).tolist() == [[True, False], [True, True]]


def test_a_block_of_4096_by_4096_takes_less_than_a_second():
    rng = np.random.default_rng(0)
    images, texts = rng.integers(0, 10_000, 50_000), rng.integers(0, 30_000, 50_000)
    positives = find_positives(build(zip(images.tolist(), map(str, texts), strict=True)))
    chosen = rng.integers(0, 50_000, 4096)
    start = time.perf_counter()
    block = positives.block(positives.image_of_pair[chosen], positives.text_of_pair[chosen])
    assert time.perf_counter() - start < 1
    assert block.diagonal().all()
