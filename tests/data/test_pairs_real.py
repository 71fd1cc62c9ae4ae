"""The real data sets beside the repository, counted by other means."""

import csv

import pytest

from wordsight.data import find_positives, read_pairs, split_pairs


def spreadsheet(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "num_images"),
    [
        ("coco2k_captions", 1997),
        ("flowers102_captions", 1200),
        ("ucm_captions", 630),
        ("vi_captions", 60),
        ("landscape_noisy_captions", 250),
    ],
)
def test_a_real_folder_is_read_whole(shared, name, num_images):
    folder = shared / "data" / name
    rows = spreadsheet(folder / "pairs.csv")
    pairs = read_pairs(folder)
    wanted = dict.fromkeys((folder / row["path"], row["caption"].strip()) for row in rows)
    assert [(pair.image, pair.text) for pair in pairs] == list(wanted)
    assert len(pairs) + pairs.duplicates == len(rows)
    assert len(pairs.images) == num_images
    assert pairs.encoding == "utf-8"
    assert pairs.bad == ()


def test_a_real_split_column_selects_the_rows_it_says(shared):
    folder = shared / "data" / "coco2k_captions"
    for side in ("train", "test"):
        wanted = sum(row["split"] == side for row in spreadsheet(folder / "pairs.csv"))
        assert len(read_pairs(folder, where={"split": side})) == wanted


def test_five_sentences_a_picture_are_positives_of_it(shared):
    pairs = read_pairs(shared / "data" / "vi_captions")
    positives = find_positives(pairs)
    block = positives.block(range(positives.num_images), range(len(positives.texts)))
    assert block.sum() == len({(pair.image, pair.text.casefold()) for pair in pairs})
    assert block.sum(axis=1).max() == 5


def test_sentences_shared_by_real_aerial_pictures_are_positive_for_all_of_them(shared):
    pairs = read_pairs(shared / "data" / "ucm_captions")
    positives = find_positives(pairs)
    block = positives.block(range(positives.num_images), range(len(positives.texts)))
    farmland = positives.texts.index("There is a piece of farmland.")
    wanted = {pair.image for pair in pairs if pair.text == "There is a piece of farmland."}
    assert {pairs.images[i] for i in block[:, farmland].nonzero()[0]} == wanted
    assert len(wanted) > 1


def test_class_tables_serve_as_pairs(shared):
    labels = read_pairs(shared / "data" / "ucm_captions" / "labels.csv")
    assert len(labels) == 630
    assert len(set(labels.texts)) == 21


def test_a_real_split_keeps_every_picture_with_its_five_sentences(shared):
    pairs = read_pairs(shared / "data" / "ucm_captions")
    split = split_pairs(pairs, image_groups=range(len(pairs.images)), held_out=0.2, seed=0)
    ours = {pairs[i].image for i in split.train}
    theirs = {pairs[i].image for i in split.held_out}
    assert not ours & theirs
    assert len(theirs) == split.num_held_out_images == 126
