"""Tables of labelled pictures, as people really keep them, and what is refused."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.errors import ConfigError, DataError, InputError


def pictures(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number % 256, 40, 90)).save(path)
    return folder


def table(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def described(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return pictures(tmp_path, "a.png", "b.png", "c.png", "d.png")


def test_columns_are_found_by_their_names_and_everything_is_read(four):
    path = table(
        four,
        "path,class,split,group\na.png,cat,train,1\nb.png,dog,val,2\nc.png,cat,test,3\n"
        "d.png,dog,testing,3\n",
    )
    read = read_labelled(path)
    assert read.keys == ("a.png", "b.png", "c.png", "d.png")
    assert read.truth == ("cat", "dog", "cat", "dog")
    assert read.parts == ("train", "validation", "test", "test")
    assert read.groups == ("1", "2", "3", "3")
    assert read.class_names == ("cat", "dog")
    assert [read.part(name).keys for name in ("train", "validation", "test")] == [
        ("a.png",),
        ("b.png",),
        ("c.png", "d.png"),
    ]
    assert read_labelled(four).fingerprint == read.fingerprint


def test_pictures_without_a_part_are_to_be_measured_on(four):
    read = read_labelled(table(four, "path,class\na.png,cat\nb.png,dog\n"))
    assert read.parts == ("test", "test")
    assert read.groups is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp932"])
def test_japanese_tables_are_read_in_the_encodings_of_excel(tmp_path, encoding):
    pictures(tmp_path, "傷/一.png", "良品/二.png")
    text = "画像,クラス,用途,ロット\n傷/一.png,傷,学習,い\n良品/二.png,良品,評価,ろ\n"
    read = read_labelled(table(tmp_path, text, encoding=encoding))
    assert read.truth == ("傷", "良品")
    assert read.parts == ("train", "test")
    assert read.groups == ("い", "ろ")


def test_decomposed_names_are_the_same_class_as_composed_ones(four):
    table(four, "path,class\na.png,カ\u3099\nb.png,キ\n")
    path = described(four, '[set]\nimages = "labels.csv"\n[classes]\n"ガ" = "a"\n"キ" = "b"\n')
    assert read_labelled(path).truth == ("ガ", "キ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,klass\na.png,cat\n", "no column has a known name for the label column"),
        ("bild,class\na.png,cat\n", "no column has a known name for the image column"),
        ("path,class,label\na.png,cat,x\n", "2 columns could be the label column"),
        ("path,class,split\na.png,cat,banana\nb.png,dog,test\n", "'banana' in column 'split'"),
        ("path,class\na.png,cat\nb.png,cat\n", "1 class; expected two or more"),
        ("path,class\na.png,cat\nb.png,dog\na.png,dog\n", "row 2 and in row 4, as 'cat' and as"),
        (
            "path,class,split\na.png,cat,train\nb.png,dog,test\na.png,cat,test\n",
            "as train and as test: nothing may be both",
        ),
        (
            "path,class,group\na.png,cat,1\nb.png,dog,2\na.png,cat,2\n",
            "in group '1' and in group '2'",
        ),
        (
            "path,class,split,group\na.png,cat,train,7\nb.png,dog,test,7\n",
            "group '7' is on two sides: a.png in train, b.png in test",
        ),
        ("path,class\na.png,cat\ngone.png,dog\n", "picture: no such file: 'gone.png'"),
        ("path,class\na.png,\nb.png,dog\n", "class: the text is empty"),
        ("path,class,split\na.png,cat,\nb.png,dog,test\n", "part of the data: the text is empty"),
        ("path,class\nx.png,cat\n", "no picture with a class; 1 cannot be used"),
        ("path,class\n", "no picture with a class"),
        ("", "the table is empty"),
    ],
)
def test_what_would_mislead_a_measurement_is_refused(four, text, message):
    with pytest.raises(DataError) as caught:
        read_labelled(table(four, text))
    assert message in str(caught.value)


def test_bad_rows_are_listed_and_budgeted(four):
    path = table(four, "path,class\na.png,cat\nb.png,dog\ngone.png,dog\nd.png,\n")
    with pytest.raises(DataError, match="2 rows or files cannot be used, at most 1") as caught:
        read_labelled(path, max_bad=1)
    assert "--max-bad 2" in caught.value.hint
    read = read_labelled(path, max_bad=2)
    assert read.keys == ("a.png", "b.png")
    assert [bad.row for bad in read.bad] == [4, 5]
    with pytest.raises(ConfigError, match="max_bad is -1"):
        read_labelled(path, max_bad=-1)


def test_one_picture_under_two_names_is_one_picture(tmp_path):
    pictures(tmp_path, "sub/a.png", "b.png")
    path = table(
        tmp_path,
        "path,class,split\nsub/a.png,cat,train\nsub/../sub/a.png,cat,test\nb.png,dog,test\n",
    )
    with pytest.raises(DataError, match="as train and as test"):
        read_labelled(path)


def test_a_row_that_repeats_another_is_one_picture(four):
    read = read_labelled(table(four, "path,class\na.png,cat\nb.png,dog\n./a.png,cat\n"))
    assert read.keys == ("a.png", "b.png")


def test_a_class_without_pictures_stays_in_the_choice_and_is_named(four):
    table(four, "path,class\na.png,cat\nb.png,dog\n")
    path = described(four, 'classes = ["cat", "dog", "bird"]\n[set]\nimages = "labels.csv"\n')
    read = read_labelled(path)
    assert read.class_names == ("cat", "dog", "bird")
    assert read.empty_classes == ("bird",)


def test_a_class_that_is_not_described_is_refused_with_the_nearest(four):
    table(four, "path,class\na.png,crack\nb.png,sound\n")
    path = described(four, 'classes = ["crak", "sound"]\n[set]\nimages = "labels.csv"\n')
    with pytest.raises(DataError, match=r"a\.png is of class 'crack'") as caught:
        read_labelled(path)
    assert "crak" in caught.value.hint


def test_several_classes_stand_in_one_cell_or_in_several_rows(four):
    table(four, "path,class\na.png,cat; dog\nb.png,dog\nb.png,cat\nc.png,\nd.png,dog\n")
    path = described(four, '[set]\nimages = "labels.csv"\nmulti_label = true\n')
    read = read_labelled(path)
    assert read.labels == (("cat", "dog"), ("dog", "cat"), (), ("dog",))
    assert read.metric == "map_11_point"
    with pytest.raises(ConfigError, match="several classes"):
        _ = read.truth


def test_json_lines_may_hold_lists_of_classes(four):
    rows = [{"path": "a.png", "class": ["cat", "dog"]}, {"path": "b.png", "class": ["dog"]}]
    table(four, "\n".join(map(json.dumps, rows)), name="labels.jsonl")
    path = described(four, '[set]\nimages = "labels.jsonl"\nmulti_label = true\n')
    assert read_labelled(path).labels == (("cat", "dog"), ("dog",))
    with pytest.raises(DataError, match="2 classes in one cell, expected one"):
        read_labelled(four / "labels.jsonl")


def test_what_is_no_table_is_refused(four, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_labelled(tmp_path / "nowhere.csv")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no labelled pictures"):
        read_labelled(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="nothing is fetched"):
        read_labelled("https://example.org/labels.csv")


labels = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=',;"'), min_size=1),
    min_size=2,
    max_size=4,
    unique_by=lambda text: unicodedata.normalize("NFC", text),
)


@settings(max_examples=60, deadline=None)
@given(names=labels)
def test_any_class_name_comes_back(tmp_path_factory, names):
    folder = pictures(tmp_path_factory.mktemp("any"), *(f"{i}.png" for i in range(len(names))))
    rows = "".join(f"{i}.png,{name}\n" for i, name in enumerate(names))
    read = read_labelled(table(folder, "path,class\n" + rows))
    assert read.truth == tuple(unicodedata.normalize("NFC", name) for name in names)


def test_the_fingerprint_notices_whatever_matters(four):
    def of(text: str) -> str:
        return read_labelled(table(four, text)).fingerprint

    base = "path,class,split\na.png,cat,test\nb.png,dog,test\n"
    changed = [
        base.replace("a.png", "c.png"),
        base.replace("cat", "bird"),
        base.replace("dog,test", "dog,train"),
        base + "d.png,dog,test\n",
    ]
    found = [of(base), *map(of, changed)]
    assert len(set(found)) == len(found)
    assert of(base) == found[0]


def test_contents_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in number"):
        LabelledPictures(
            name="x",
            keys=("a",),
            images=(),
            labels=(("cat",),),
            parts=("test",),
            classes={"cat": {}, "dog": {}},
        )
    with pytest.raises(DataError, match="a is there twice"):
        LabelledPictures(
            name="x",
            keys=("a", "a"),
            images=(b"", b""),
            labels=(("cat",), ("dog",)),
            parts=("test", "test"),
            classes={"cat": {}, "dog": {}},
        )
