"""Learning from shards and mixtures: the same batches as from the pictures themselves."""

import random

import numpy as np
import pytest

import worlds
from wordsight.data import read_pairs
from wordsight.data.example_sources import open_examples
from wordsight.data.examples import Examples, PairExamples
from wordsight.data.mixture import Mixture
from wordsight.data.shard_writer import write_shards
from wordsight.data.shards import Shards, open_shards
from wordsight.text import Tokenizer
from wordsight.training.contrastive.loader import Reader, read_batches, text_id
from wordsight.training.contrastive.plan import BatchPlan

BATCH = 16


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_bytes(worlds.tokenizer_json(), worlds.RULES)


@pytest.fixture(scope="module")
def pairs(drawn) -> PairExamples:
    return PairExamples(read_pairs(drawn))


@pytest.fixture(scope="module")
def shards(pairs, tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("shards") / "set"
    write_shards(pairs, folder, per_shard=13)
    return open_shards(folder)


def reader(examples: Examples, tokenizer: Tokenizer, **options) -> Reader:
    plan = BatchPlan(len(examples), BATCH, 2.0, 5)
    return Reader(examples, tokenizer, plan, worlds.PREPROCESSING, "strong", **options)


def test_batches_of_shards_are_those_of_the_pictures(pairs, shards, tokenizer):
    ours, theirs = reader(shards, tokenizer), reader(pairs, tokenizer)
    for step in range(len(ours)):
        assert np.array_equal(ours[step].squares, theirs[step].squares)
        assert np.array_equal(ours[step].tokens, theirs[step].tokens)
        assert np.array_equal(ours[step].texts, theirs[step].texts)


def test_other_processes_read_the_same_from_shards(shards, tokenizer):
    one = reader(shards, tokenizer)
    for step, batch in enumerate(read_batches(one, first=9, workers=2), start=9):
        assert np.array_equal(batch.squares, one[step].squares)
        assert np.array_equal(batch.images, one[step].images)


def test_copies_of_a_picture_in_a_mixture_count_as_one_picture(shards, tokenizer):
    mixture = Mixture([shards, shards], (1, 3))
    one = reader(mixture, tokenizer)
    seen: dict[int, str] = {}
    repeated = 0
    for step in range(len(one)):
        batch = one[step]
        keys = [mixture.keys[place] for place in one.plan.examples(step)]
        for number, key in zip(batch.images.tolist(), keys, strict=True):
            assert seen.setdefault(number, key) == key
        repeated += len(keys) - len(set(keys))
        assert len(set(batch.images.tolist())) == len(set(keys))
    assert repeated > 0
    assert len(seen) == 240


def test_class_names_of_shards_are_put_into_templates(shared, tokenizer):
    examples = open_examples(shared / "data" / "cifar10" / "train-000000.tar")
    templates = ("a photo of a {}", "the {}")
    one = reader(examples, tokenizer, templates=templates)
    step = random.Random(0).randrange(100)
    places = one.plan.examples(step)
    possible = {
        text_id(t.replace("{}", examples[p].texts[0])): t for p in places for t in templates
    }
    batch = one[step]
    assert {possible[number] for number in batch.texts.tolist()} == set(templates)
    for place, number in zip(places, batch.texts.tolist(), strict=True):
        said = {text_id(t.replace("{}", examples[place].texts[0])) for t in templates}
        assert number in said
    assert batch.squares.shape == (BATCH, *batch.squares.shape[1:])
    assert batch.bad == ()
