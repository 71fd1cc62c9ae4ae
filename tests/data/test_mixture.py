"""Mixtures: how often each example occurs and where, and what opens as what."""

from collections import Counter

import pytest
import shard_worlds as made
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data.example_sources import open_examples
from wordsight.data.examples import Example, PairExamples, split_examples
from wordsight.data.mixture import Mixture
from wordsight.data.shards import Shards
from wordsight.errors import ConfigError, DataError, InputError


class Numbered:
    """Examples with a name and a number each."""

    def __init__(self, name, count):
        self.name, self.count = name, count
        self.keys = [f"{name}{n}" for n in range(count)]
        self.fingerprint = f"{name} {count}"

    def __len__(self):
        return self.count

    def __getitem__(self, index, /):
        return Example(self.keys[index], bytes([index % 256]), (f"{self.name} {index}",))


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)
weights = st.floats(0.05, 5, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(sizes=sizes, data=st.data())
def test_every_example_occurs_as_often_as_its_weight_says(sizes, data):
    given = [data.draw(weights) for _ in sizes]
    mixture = Mixture([Numbered("abcd"[n], size) for n, size in enumerate(sizes)], given)
    counts = Counter(mixture.keys)
    for number, (size, weight) in enumerate(zip(sizes, given, strict=True)):
        of_source = [counts[f"{number}/{'abcd'[number]}{place}"] for place in range(size)]
        assert sum(of_source) == max(1, round(weight * size))
        assert max(of_source) - min(of_source) <= 1
    assert len(mixture) == sum(counts.values()) == len(mixture.keys)
    for place, key in enumerate(mixture.keys):
        example = mixture[place]
        assert example.key == key
        number = int(key[0])
        assert key == f"{number}/{'abcd'[number]}{example.texts[0].split()[1]}"


@settings(max_examples=100, deadline=None)
@given(sizes=sizes, data=st.data())
def test_every_beginning_holds_the_sources_in_their_proportions(sizes, data):
    mixture = Mixture(
        [Numbered(str(n), size) for n, size in enumerate(sizes)],
        [data.draw(weights) for _ in sizes],
    )
    total = Counter(key[0] for key in mixture.keys)
    seen = Counter()
    for place, key in enumerate(mixture.keys, start=1):
        seen[key[0]] += 1
        for source, count in total.items():
            assert abs(seen[source] - place * count / len(mixture)) < len(sizes)


def test_weights_of_one_show_everything_once_in_turn():
    mixture = Mixture([Numbered("a", 4), Numbered("b", 2)])
    assert list(mixture.keys) == ["0/a0", "1/b0", "0/a1", "0/a2", "1/b1", "0/a3"]


def test_nine_times_a_tenth_is_as_much_as_the_rest():
    mixture = Mixture([Numbered("a", 900), Numbered("b", 100)], (1, 9))
    assert Counter(key[0] for key in mixture.keys) == {"0": 900, "1": 900}
    assert set(Counter(mixture.keys).values()) == {1, 9}


def test_a_smaller_share_is_a_part_of_a_larger_one_and_always_the_same():
    def share(weight):
        return set(Mixture([Numbered("a", 200)], [weight]).keys)

    assert share(0.1) == share(0.1) < share(0.3) < share(0.9)
    assert share(0.1) != set(Numbered("a", 20).keys)


def test_sources_weights_and_their_order_are_told_apart_by_the_fingerprint():
    a, b, longer = Numbered("a", 10), Numbered("b", 10), Numbered("a", 11)
    made_of = [
        Mixture([a, b]),
        Mixture([b, a]),
        Mixture([longer, b]),
        Mixture([a, b], (2, 1)),
        Mixture([a, b], (1, 2)),
        Mixture([a]),
    ]
    assert len({one.fingerprint for one in made_of}) == len(made_of)
    assert Mixture([a, b], (1, 1)).fingerprint == Mixture([a, b]).fingerprint


def test_copies_of_an_example_are_held_out_together_and_once():
    mixture = Mixture([Numbered("a", 300), Numbered("b", 50)], (1, 6))
    learnt, kept = split_examples(mixture.keys, held_out=0.2, seed=1)
    learnt_keys = {mixture.keys[place] for place in learnt}
    kept_keys = [mixture.keys[place] for place in kept]
    assert not learnt_keys & set(kept_keys)
    assert len(kept_keys) == len(set(kept_keys)) > 40
    assert learnt_keys | set(kept_keys) == set(mixture.keys)


def test_mixtures_can_be_mixed_again():
    inner = Mixture([Numbered("a", 3), Numbered("b", 3)])
    outer = Mixture([inner, Numbered("c", 2)], (1, 2))
    assert Counter(outer.keys)["1/c0"] == 2
    assert "0/1/b2" in outer.keys
    assert outer[len(outer) - 1].key == outer.keys[-1]


@pytest.mark.parametrize("given", [(1,), (1, 0), (1, -2), (1, float("nan")), (1, float("inf"))])
def test_weights_that_mean_nothing_are_refused(given):
    with pytest.raises(ConfigError, match="weight"):
        Mixture([Numbered("a", 3), Numbered("b", 3)], given)


def test_an_empty_source_is_refused():
    with pytest.raises(ConfigError, match="source 1 is empty"):
        Mixture([Numbered("a", 3), Numbered("b", 0)])
    with pytest.raises(ConfigError):
        Mixture([])


# Opening ---------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    """A folder with a table, and one with shards."""
    (tmp_path / "table").mkdir()
    for number in range(3):
        (tmp_path / "table" / f"{number}.png").write_bytes(made.picture(number))
    rows = "".join(f"{number}.png,text {number}\n" for number in range(3))
    (tmp_path / "table" / "pairs.csv").write_text("image,text\n" + rows)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        members = made.sample("0", number, f"shard {number}")
        made.write_tar(tmp_path / "shards" / f"{number}.tar", members)
    return tmp_path


def test_tables_and_shards_are_told_apart(world):
    for source in ("table", "table/pairs.csv"):
        assert isinstance(open_examples(world / source), PairExamples)
    for source in ("shards", "shards/0.tar", "shards/{0..1}.tar", "shards/*.tar"):
        assert isinstance(open_examples(world / source), Shards)


def test_several_sources_are_one_with_names_of_their_own(world):
    both = open_examples(f"{world}/table::{world}/shards/0.tar::{world}/shards")
    assert sorted(both.keys) == [
        *(f"0/{n}.png" for n in range(3)),
        "1/0.tar/0",
        *(f"2/{n}.tar/0" for n in range(2)),
    ]
    often = open_examples(f"{world}/table::{world}/shards", weights=(1, 3))
    assert Counter(key[0] for key in often.keys) == {"0": 3, "1": 6}
    assert len(open_examples(world / "table", weights=[2])) == 6


def test_options_reach_the_table_and_are_refused_for_shards(world):
    (world / "table" / "pairs.csv").write_text(
        "image,text,other,side\n0.png,a,b,left\n1.png,c,d,right\nnone.png,e,f,left\n"
    )
    options = {"text_column": "other", "image_column": "image", "where": {"side": "left"}}
    examples = open_examples(world / "table", **options, max_bad=1)
    assert [examples[n].texts for n in range(len(examples))] == [("b",)]
    mixed = open_examples(f"{world}/table::{world}/shards", **options, max_bad=1)
    assert len(mixed) == 3
    with pytest.raises(ConfigError, match="no columns"):
        open_examples(world / "shards", text_column="other")
    with pytest.raises(DataError, match="at most 0"):
        open_examples(world / "table", **options)
    with pytest.raises(ConfigError, match="2 weights for 1 source"):
        open_examples(world / "shards", weights=(1, 2))


def test_a_folder_of_several_sets_is_refused_so_that_no_test_set_is_learnt_from(world, shared):
    with pytest.raises(DataError, match=r"test-\*\.tar \(1\), train-\*\.tar \(3\)") as caught:
        open_examples(shared / "data" / "tiny_imagenet")
    assert "test-*.tar" in caught.value.hint
    made.write_tar(world / "shards" / "val.tar", made.sample("0"))
    with pytest.raises(DataError, match="2 sets of shards"):
        open_examples(world / "shards")
    assert len(open_examples(world / "shards" / "*.tar")) == 3


def test_tables_that_img2dataset_writes_beside_its_shards_are_passed_over(world):
    (world / "shards" / "0.parquet").write_bytes(b"about the shard")
    (world / "shards" / "0_stats.json").write_bytes(b"{}")
    assert len(open_examples(world / "shards")) == 2
    (world / "shards" / "pairs.csv").write_text("image,text\n")
    with pytest.raises(DataError, match=r"both shards and a table, pairs\.csv"):
        open_examples(world / "shards")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.tar", "none.tar: there is no such file"),
        ("shards/{0..3}.tar", "2.tar: there is no such file, nor 1 others of 4"),
        ("shards/{0,0}.tar", "names .*0.tar 2 times"),
        ("shards/none-*.tar", "no file matches"),
        ("none", "there is no such file or folder"),
        ("shards/0.tar::none.tar", "there is no such file"),
        ("table/0.png", "not a table of pairs"),
    ],
)
def test_what_is_not_there_is_named(source, message, world, monkeypatch):
    monkeypatch.chdir(world)
    with pytest.raises(InputError, match=message):
        open_examples(source)
