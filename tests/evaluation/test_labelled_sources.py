"""Folders, shards and descriptions of labelled pictures."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from wordsight.data.labelled import read_labelled
from wordsight.errors import ConfigError, DataError, InputError


def picture(colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 40, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(number))
    return folder


def shard(path: Path, *texts: str) -> None:
    with tarfile.open(path, "w") as tar:
        for number, text in enumerate(texts):
            for ending, content in (("png", picture(number)), ("txt", text.encode())):
                member = tarfile.TarInfo(f"{number:04d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_a_folder_for_each_class(tmp_path):
    put(tmp_path, "cat/1.png", "cat/more/2.png", "dog/1.png", ".hidden/x.png")
    read = read_labelled(tmp_path)
    assert read.keys == ("cat/1.png", "cat/more/2.png", "dog/1.png")
    assert read.truth == ("cat", "cat", "dog")
    assert read.parts == ("test",) * 3
    assert read.images[0] == tmp_path / "cat" / "1.png"


def test_parts_above_the_classes(tmp_path):
    put(tmp_path, "train/猫/1.png", "test/猫/2.png", "test/犬/3.png")
    read = read_labelled(tmp_path)
    parts = dict(zip(read.keys, read.parts, strict=True))
    assert parts == {"train/猫/1.png": "train", "test/猫/2.png": "test", "test/犬/3.png": "test"}
    assert set(read.class_names) == {"猫", "犬"}


def test_a_class_may_be_called_like_a_part_if_others_are_not(tmp_path):
    put(tmp_path, "test/1.png", "production/1.png")
    assert read_labelled(tmp_path).truth == ("production", "test")


def test_an_empty_folder_is_a_class_without_pictures(tmp_path):
    put(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "bird").mkdir()
    assert read_labelled(tmp_path).empty_classes == ("bird",)


def test_pictures_in_no_class_are_bad(tmp_path):
    put(tmp_path, "cat/1.png", "dog/1.png", "loose.png")
    with pytest.raises(DataError, match=r"not in the folder of a class: 'loose.png'"):
        read_labelled(tmp_path)
    assert len(read_labelled(tmp_path, max_bad=1)) == 2


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="there is no picture in this folder"):
        read_labelled(tmp_path)


def test_shards_are_parts_by_their_names(tmp_path):
    shard(tmp_path / "train-000.tar", "cat", "dog")
    shard(tmp_path / "test-000.tar", "dog", "cat")
    read = read_labelled(tmp_path)
    assert sorted(zip(read.keys, read.parts, read.truth, strict=True)) == [
        ("test-000.tar/0000", "test", "dog"),
        ("test-000.tar/0001", "test", "cat"),
        ("train-000.tar/0000", "train", "cat"),
        ("train-000.tar/0001", "train", "dog"),
    ]
    assert read.part("train").images[1] == picture(1)
    assert list(read.images[1:3]) == [read.images[1], read.images[2]]


def test_shards_of_which_only_some_are_parts_are_refused(tmp_path):
    shard(tmp_path / "train-000.tar", "cat", "dog")
    shard(tmp_path / "more-000.tar", "cat", "dog")
    with pytest.raises(DataError, match="names a part of the data"):
        read_labelled(tmp_path)


def test_several_tables_need_one_called_labels(tmp_path):
    put(tmp_path, "a.png", "b.png")
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("path,class\na.png,cat\nb.png,dog\n")
    with pytest.raises(DataError, match="2 tables in this folder"):
        read_labelled(tmp_path)
    (tmp_path / "labels.csv").write_text("path,class\na.png,x\nb.png,y\n")
    assert read_labelled(tmp_path).truth == ("x", "y")


DESCRIPTION = """
[set]
name = "tiles"
images = "data/table.csv"
label_column = "kind"
group_column = "lot"
where = { camera = "2" }
positive = ["crack"]
metric = "roc_auc"

[classes]
crack = { en = ["a crack"], ja = ["割れ"] }
sound = ["a smooth surface"]

[templates]
en = ["a photo of {}."]
ja = ["{}の写真"]

[targets]
recall = 0.95
"""


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    put(tmp_path / "data", "a.png", "b.png", "c.png")
    (tmp_path / "data" / "table.csv").write_text(
        "path,kind,class,camera,lot\na.png,crack,1,2,x\nb.png,sound,2,2,y\nc.png,other,3,1,z\n"
    )
    (tmp_path / "set.toml").write_text(DESCRIPTION, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["", "set.toml"])
def test_a_description_says_how_to_read(tiles, name):
    read = read_labelled(tiles / name)
    assert (read.name, read.metric, read.positive) == ("tiles", "roc_auc", ("crack",))
    assert read.truth == ("crack", "sound")
    assert read.groups == ("x", "y")
    assert read.targets == {"recall": 0.95}
    assert read.words("ja") == {"crack": ("割れ",), "sound": ("a smooth surface",)}
    assert read.words() == {"crack": ("a crack",), "sound": ("a smooth surface",)}
    assert read.templates_in("ja") == ("{}の写真",)
    assert read.subset([1]).words("en") == read.words("en")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("label_column", "lable_column", ConfigError, "unknown key 'lable_column'"),
        ('"kind"', '"sort"', ConfigError, "no column 'sort' for label_column in [set]"),
        ('"lot"', '"kind"', ConfigError, "cannot be both label and group column"),
        ('"roc_auc"', '"auc"', ConfigError, "'auc' is not allowed"),
        ('["crack"]', '["crac"]', ConfigError, "positive: 'crac' is not one of the classes"),
        ('camera = "2"', 'camera = "9"', ConfigError, "no row has '9' in column 'camera'"),
        ("[targets]", "[target]", ConfigError, "unknown table [target]"),
        ("a photo of {}.", "a photo.", ConfigError, "must hold {}"),
        ('name = "tiles"', 'name = "tiles', ConfigError, "not valid TOML"),
        ('images = "data/table.csv"', "", ConfigError, "key 'images' is missing"),
        ("data/table.csv", "data/gone.csv", InputError, "no such file or folder"),
        ('sound = ["a smooth surface"]', "sound = [3]", ConfigError, "needs a sentence"),
    ],
)
def test_a_wrong_description_is_refused_by_name(tiles, old, new, error, message):
    text = DESCRIPTION.replace(old, new)
    assert text != DESCRIPTION
    (tiles / "set.toml").write_text(text, encoding="utf-8")
    with pytest.raises(error) as caught:
        read_labelled(tiles)
    assert message in str(caught.value)


def test_a_description_without_set_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text('[classes]\na = "x"\n')
    with pytest.raises(ConfigError, match=r"has no table \[set\]"):
        read_labelled(tmp_path / "x.toml")


def test_real_sets_are_read_as_their_sources_say(shared):
    tiles = read_labelled(shared / "data" / "magnetic_tile")
    steel = read_labelled(shared / "data" / "neu_det_steel")
    cifar = read_labelled(shared / "data" / "cifar10")
    assert (len(tiles), len(tiles.classes)) == (792, 6)
    assert (len(steel), len(steel.part("train")), len(steel.classes)) == (480, 240, 6)
    assert (len(cifar.part("train")), len(cifar.part("test"))) == (2000, 3000)
    assert {name: cifar.part("test").truth.count(name) for name in cifar.classes} == dict.fromkeys(
        cifar.classes, 300
    )
