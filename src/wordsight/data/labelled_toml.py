"""The description of a set of labelled pictures, as a person writes it.

[set]
images = "labels.csv"            # table, folder or tar shards, relative to this file
label_column = "class"           # likewise image_column, split_column, group_column
group_column = "lot"
positive = ["crack"]             # what an inspection must find
metric = "roc_auc"

[classes]                        # names alone, or what is said of them
crack = ["a thin dark crack", "a broken line"]
sound = { en = ["a smooth surface"], ja = ["滑らかな表面"] }

[templates]                      # sentences with {} for what is said of a class
en = ["a photo of {}."]

[targets]                        # what is to be reached
recall = 0.95
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wordsight.config import from_dict, load_toml, nearest
from wordsight.data.class_file import parse_classes
from wordsight.data.glossary import parse_glossary
from wordsight.data.labelled_pictures import MetricKind, Part
from wordsight.data.words import Words
from wordsight.errors import ConfigError

TABLES = ("set", "classes", "templates", "glossary", "targets")


@dataclass(frozen=True, kw_only=True, slots=True)
class SetTable:
    """The table [set]."""

    images: str
    """Table, folder or tar shards, relative to the description."""
    name: str = ""
    """What the set is called in reports; the name of the file if not given."""
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    where: dict[str, str] = field(default_factory=dict[str, str])
    """Keep only rows whose columns have these values."""
    part: Part = "test"
    """What pictures are for where nothing says it."""
    multi_label: bool = False
    """Whether a picture may have any number of classes."""
    separator: str = ";"
    """Stands between the classes in a cell of a multi-label table."""
    metric: MetricKind | None = None
    """Accuracy if not given; 11-point mAP for a multi-label set."""
    positive: tuple[str, ...] = ()
    """The classes that an inspection must find."""
    max_bad: int = 0
    """Rows and files that may be unusable."""

    def __post_init__(self) -> None:
        if self.multi_label and not self.separator:
            raise ValueError("separator is empty; expected what stands between classes, such as ;")


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A whole description."""

    set: SetTable
    name: str
    classes: Mapping[str, Words] = field(default_factory=dict[str, Words])
    templates: Words = field(default_factory=dict[str, tuple[str, ...]])
    glossary: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    targets: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_description(path: Path) -> Description:
    """Read a description.

    Raises:
        ConfigError: if it is missing, not TOML, or not of the form above; the message names the
            place.
    """
    values = load_toml(path)
    for name, table in values.items():
        if name not in TABLES:
            raise ConfigError(f"{path}: unknown table [{name}]", hint=nearest(name, TABLES))
        if name in ("set", "glossary", "targets") and not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: expected a table [{name}], got {table!r}")
    if "set" not in values:
        raise ConfigError(
            f"{path}: has no table [set]", hint='begin with [set] and images = "labels.csv"'
        )
    settings = from_dict(SetTable, values["set"], where=f"{path}: set")
    said = parse_classes(values, where=str(path))
    return Description(
        set=settings,
        name=settings.name or (path.parent.absolute().name if path.stem == "set" else path.stem),
        classes={unicodedata.normalize("NFC", name): words for name, words in said.classes.items()},
        templates=said.templates,
        glossary=parse_glossary(values.get("glossary", {}), where=str(path)),
        targets=values.get("targets", {}),
    )
