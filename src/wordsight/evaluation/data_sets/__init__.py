"""The data sets of the paper, described but never fetched: one TOML file each in this folder.

The numbers are those of the paper (Radford et al., 2021, table 9) where they are known, and left
out elsewhere.
"""

from importlib.resources import as_file, files
from pathlib import Path

from wordsight.config import from_dict, load_toml, nearest
from wordsight.data.class_file import parse_classes
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.data.labelled_toml import Description, SetTable
from wordsight.errors import InputError
from wordsight.evaluation.data_sets.description import About, DataSet, Kind

SUFFIX = ".toml"


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """Return the names of the data sets, of one kind or of all."""
    found = sorted(
        entry.name.removesuffix(SUFFIX)
        for entry in files(__name__).iterdir()
        if entry.name.endswith(SUFFIX)
    )
    return tuple(name for name in found if kind is None or read_data_set(name).kind == kind)


def read_data_set(name: str) -> DataSet:
    """Return the description of a data set.

    Raises:
        InputError: if there is none of that name.
    """
    entry = files(__name__) / f"{name}{SUFFIX}"
    if not name.isidentifier() or not entry.is_file():
        raise InputError(f"no data set {name!r} is described", hint=nearest(name, names()))
    with as_file(entry) as path:
        tables = load_toml(path)
        about = from_dict(About, tables["about"], where=f"{path}: about")
        said = parse_classes(tables, where=str(path))
    return DataSet(name=name, about=about, classes=said.classes, templates=said.templates)


def open_data_set(
    data_set: DataSet, folder: Path, *, max_bad: int | None = None
) -> LabelledPictures:
    """Read the pictures of a data set from a folder, with the classes and metric of the paper.

    A `set.toml` in the folder is taken instead of what is described here.

    Raises:
        InputError: if the folder is not there, or holds nothing that can be read.
        ConfigError: if its `set.toml` is not of the right form.
        DataError: as `read_labelled`; also if a picture is of a class that is not described.
    """
    about = data_set.about
    assert about.metric != "recall_at_1", "sentences are read by read_pairs"
    settings = SetTable(
        images="", multi_label=about.multi_label, metric=about.metric, positive=about.positive
    )
    description = Description(
        set=settings, name=data_set.name, classes=data_set.classes, templates=data_set.templates
    )
    return read_labelled(folder, max_bad=max_bad, description=description)


def layout(data_set: DataSet, folder: str = "FOLDER") -> str:
    """Say how the pictures of a data set must lie, as a text to be read in a terminal."""
    name = data_set.name
    lines = {
        "folders": [
            f"{folder}/{name}/train/CLASS/picture.jpg",
            f"{folder}/{name}/test/CLASS/picture.jpg",
            f"or {folder}/{name}/labels.csv with columns path, class, split",
        ],
        "table": [
            f"{folder}/{name}/labels.csv with columns path, class, split",
            "where class holds all classes of the picture with ; between them",
        ],
        "pairs": [
            f"{folder}/{name}/pairs.csv with columns path, caption, split",
            "and a row for each sentence",
        ],
    }[data_set.about.layout]
    if data_set.about.names_by == "wordsight":
        lines.append("classes: " + ", ".join(data_set.classes))
    return "\n".join(lines)
