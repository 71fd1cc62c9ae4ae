"""No group of near-duplicates is ever on two sides, whatever the data look like."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data import Pair, Pairs, find_leaks, split_pairs
from wordsight.errors import ConfigError, DataError, InputError

ROOT = Path("data")


def build(rows, root=ROOT):
    """Pairs from (picture number, sentence, side)."""
    return Pairs(
        (Pair(root / f"{image}.jpg", text, i, "t.csv") for i, (image, text, _) in enumerate(rows)),
        columns=({"split": side} for _, _, side in rows),
        root=root,
    )


rows = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["A cat", "a  CAT", "dog"]),
        st.sampled_from(["x", "y", ""]),
    ),
    min_size=1,
    max_size=30,
)
group_of_picture = st.lists(st.integers(0, 6), min_size=13, max_size=13)


def groups_of(pairs, group):
    return [group[int(image.stem)] for image in pairs.images]


def contents(pairs, split):
    return [
        sorted((pairs[i].image.name, pairs[i].text) for i in side)
        for side in (split.train, split.held_out)
    ]


@settings(max_examples=300, deadline=None)
@given(rows=rows, group=group_of_picture, part=st.floats(0.01, 0.99), seed=st.integers(0, 2**40))
def test_a_group_is_on_one_side_and_every_pair_on_exactly_one(rows, group, part, seed):
    pairs = build(rows)
    groups = groups_of(pairs, group)
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="a split needs 2 groups"):
            split_pairs(pairs, image_groups=groups, held_out=part, seed=seed)
        return
    split = split_pairs(pairs, image_groups=groups, held_out=part, seed=seed)
    assert sorted(split.train + split.held_out) == list(range(len(pairs)))
    sides = [
        {group[int(pairs[i].image.stem)] for i in side} for side in (split.train, split.held_out)
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
    images = [len({pairs[i].image for i in side}) for side in (split.train, split.held_out)]
    assert images == [split.num_train_images, split.num_held_out_images]
    sizes = [groups.count(one) for one in set(groups)]
    assert split.num_groups_kept == sum(size > 1 for size in sizes)
    assert split.num_images_kept == sum(size for size in sizes if size > 1)
    wanted = min(max(round(part * len(groups)), 1), len(groups) - 1)
    assert split.num_held_out_images <= max(wanted, min(sizes))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rows=rows, group=group_of_picture, seed=st.integers(0, 9))
def test_row_order_group_numbers_and_the_place_of_the_folder_do_not_matter(data, rows, group, seed):
    pairs = build(rows)
    if len(set(groups_of(pairs, group))) < 2:
        return
    shuffled = build(data.draw(st.permutations(rows)), root=Path("/elsewhere/copy"))
    renumbered = [100 - one for one in group]
    first, second = (
        split_pairs(one, image_groups=groups_of(one, labels), held_out=0.4, seed=seed)
        for one, labels in ((pairs, group), (shuffled, renumbered))
    )
    assert contents(pairs, first) == contents(shuffled, second)


def test_seeds_give_different_splits_and_one_seed_always_the_same():
    pairs = build([(i, "x", "") for i in range(100)])
    found = {
        split_pairs(pairs, image_groups=range(100), held_out=20, seed=seed).held_out
        for seed in (0, 1, 2, 0, 1, 2)
    }
    assert len(found) == 3
    assert {len(one) for one in found} == {20}


def test_every_picture_is_held_out_about_as_often():
    pairs = build([(i, "x", "") for i in range(20)])
    times = [0] * 20
    for seed in range(400):
        for i in split_pairs(pairs, image_groups=range(20), held_out=0.25, seed=seed).held_out:
            times[i] += 1
    assert sum(times) == 400 * 5
    assert all(60 < one < 140 for one in times)  # 100 expected, standard deviation 8.7


def test_when_every_group_is_too_big_the_smallest_is_held_out():
    pairs = build([(i, "x", "") for i in range(10)])
    split = split_pairs(pairs, image_groups=[0] * 6 + [1] * 4, held_out=1, seed=0)
    assert split.held_out == (6, 7, 8, 9)


@pytest.mark.parametrize("held_out", [0.0, 1.0, -0.5, 2.5, 0, 10, -1, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(held_out):
    pairs = build([(i, "x", "") for i in range(10)])
    with pytest.raises(ConfigError, match=r"held_out is .*, expected"):
        split_pairs(pairs, image_groups=range(10), held_out=held_out, seed=0)


def test_groups_that_do_not_fit_the_pictures_are_refused():
    pairs = build([(0, "x", ""), (1, "x", "")])
    with pytest.raises(InputError, match="1 groups for 2 pictures"):
        split_pairs(pairs, image_groups=[0], held_out=1, seed=0)
    with pytest.raises(InputError, match="3 groups for 2 pictures"):
        find_leaks(pairs, image_groups=[0, 1, 2])


@settings(max_examples=300, deadline=None)
@given(rows=rows, group=group_of_picture)
def test_leaks_are_exactly_the_pictures_whose_group_is_on_another_side(rows, group):
    pairs = build(rows)
    leaks = find_leaks(pairs, image_groups=groups_of(pairs, group))
    placed = {(image, side) for image, _, side in rows if side}
    leaking = {
        ROOT / f"{image}.jpg"
        for image, side in placed
        if any(group[image] == group[other] and side != there for other, there in placed)
    }
    assert {image for pair in leaks.images for image in pair} == leaking
    for ours, theirs in leaks.images:
        assert group[int(ours.stem)] == group[int(theirs.stem)]
    sides = {
        key: {side for _, text, side in rows if side and key in text.lower()}
        for key in ("cat", "dog")
    }
    assert leaks.num_sentences == sum(len(one) > 1 for one in sides.values())
    assert set(leaks.sides) == {side for _, side in placed}


def test_a_split_that_we_made_has_no_leaks():
    group = [i // 3 for i in range(60)]
    pairs = build([(i, f"s{i}", "") for i in range(60)])
    split = split_pairs(pairs, image_groups=group, held_out=0.3, seed=4)
    sides = ["test" if i in set(split.held_out) else "train" for i in range(60)]
    checked = build([(i, f"s{i}", side) for i, side in enumerate(sides)])
    leaks = find_leaks(checked, image_groups=group)
    assert leaks.images == ()
    assert leaks.num_sentences == 0


def test_a_split_column_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no column 'spilt'") as caught:
        find_leaks(build([(0, "x", "a")]), image_groups=[0], column="spilt")
    assert "split" in caught.value.hint
