"""The data sets of the paper: all there, well formed, and nothing fetched."""

import importlib.resources
from pathlib import Path

import pytest
from PIL import Image

from wordsight.data.labelled import METRICS
from wordsight.errors import DataError, InputError
from wordsight.evaluation import data_sets

# Radford et al., 2021, table 9: what is not accuracy.
MEAN_PER_CLASS = {"fgvc_aircraft", "oxford_pets", "caltech101", "flowers102"}
OTHER = {"voc2007": "map_11_point", "kinetics700": "mean_top1_top5", "hateful_memes": "roc_auc"}
TEST_SIZES = {
    "food101": 25_250,
    "cifar10": 10_000,
    "birdsnap": 2_149,
    "sun397": 19_850,
    "stanford_cars": 8_041,
    "fgvc_aircraft": 3_333,
    "voc2007": 4_952,
    "dtd": 1_880,
    "oxford_pets": 3_669,
    "caltech101": 6_085,
    "flowers102": 6_149,
    "gtsrb": 12_630,
    "country211": 21_100,
    "patch_camelyon": 32_768,
    "imagenet": 50_000,
}
EVERY = [data_sets.read_data_set(name) for name in data_sets.names()]


def test_there_are_as_many_as_in_the_paper():
    assert len(data_sets.names("paper")) == 27
    assert len(data_sets.names("shift")) == 7
    assert set(data_sets.names("retrieval")) == {"flickr30k", "coco"}


def test_each_is_measured_as_in_the_paper():
    for name in data_sets.names("paper"):
        metric = data_sets.read_data_set(name).about.metric
        assert metric in METRICS
        expected = "mean_per_class" if name in MEAN_PER_CLASS else OTHER.get(name, "accuracy")
        assert metric == expected, name


def test_sizes_are_those_of_the_paper():
    for name, size in TEST_SIZES.items():
        assert data_sets.read_data_set(name).about.test == size, name


@pytest.mark.parametrize("data_set", EVERY, ids=lambda one: one.name)
def test_a_description_holds_together(data_set):
    about = data_set.about
    assert all(
        template.count("{}") == 1 for texts in data_set.templates.values() for template in texts
    )
    assert data_set.templates
    assert about.what.endswith(".")
    assert about.licence
    assert about.citation
    assert (about.names_by == "wordsight") == bool(data_set.classes)
    if data_set.classes and about.num_classes:
        assert len(data_set.classes) == about.num_classes
    assert set(about.positive) <= set(data_set.classes)
    assert data_set.name in data_sets.layout(data_set)
    if about.shift_of:
        assert about.shift_of in data_sets.names("paper")


def test_no_description_says_where_to_fetch_anything():
    folder = importlib.resources.files("wordsight.evaluation.data_sets")
    for name in data_sets.names():
        assert "://" not in (folder / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["nowhere", "../results", "", "a/b"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InputError, match="is described"):
        data_sets.read_data_set(name)


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name)
    return folder


def test_the_users_pictures_get_the_papers_words_and_metric(tmp_path):
    folder = put(tmp_path, "train/7/a.png", "test/7/b.png", "test/3/c.png")
    read = data_sets.open_data_set(data_sets.read_data_set("mnist"), folder)
    assert read.class_names == tuple("0123456789")
    words = read.words()
    assert words is not None
    assert words["7"] == ("7", "seven")
    assert read.templates_in() is not None
    assert read.empty_classes == ("0", "1", "2", "4", "5", "6", "8", "9")


def test_a_folder_of_another_class_is_refused(tmp_path):
    folder = put(tmp_path, "test/seven/b.png", "test/3/c.png")
    with pytest.raises(DataError, match="'seven', which is not one of the classes"):
        data_sets.open_data_set(data_sets.read_data_set("mnist"), folder)


def test_class_names_come_from_folders_where_none_are_listed(tmp_path):
    folder = put(tmp_path, "test/apple_pie/b.png", "test/ramen/c.png")
    read = data_sets.open_data_set(data_sets.read_data_set("food101"), folder)
    assert read.class_names == ("apple_pie", "ramen")
    assert read.words() is None
    assert read.templates_in() == ("A photo of a {}, a type of food.",)


def test_a_users_own_description_wins(tmp_path):
    put(tmp_path, "p/x/b.png", "p/y/c.png")
    (tmp_path / "set.toml").write_text('[set]\nimages = "p"\nmetric = "mean_per_class"\n')
    read = data_sets.open_data_set(data_sets.read_data_set("mnist"), tmp_path)
    assert (read.class_names, read.metric) == (("x", "y"), "mean_per_class")
