"""Pictures with the names of their classes: what an evaluation measures on.

`read_labelled` in `labelled` opens whatever a user has.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, overload

from wordsight.config import nearest
from wordsight.data.class_file import in_language
from wordsight.data.examples import fingerprint
from wordsight.data.rows import BadRow
from wordsight.data.words import ANY_LANGUAGE, Words
from wordsight.errors import ConfigError, DataError

Part = Literal["train", "validation", "test"]
MetricKind = Literal["accuracy", "mean_per_class", "map_11_point", "roc_auc", "mean_top1_top5"]
"""The five of the paper (Radford et al., 2021, table 9)."""

PARTS: tuple[Part, ...] = get_args(Part)
METRICS: tuple[MetricKind, ...] = get_args(MetricKind)


class Pictures(Sequence[Path | bytes]):
    """Files, or encoded bytes that are read from their archive when they are asked for."""

    def __init__(self, read: Callable[[int], Path | bytes], places: Sequence[int]):
        self._read, self._places = read, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Path | bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "Pictures": ...
    def __getitem__(self, index: int | slice) -> "Path | bytes | Pictures":
        if isinstance(index, slice):
            return Pictures(self._read, self._places[index])
        return self._read(self._places[index])

    def subset(self, indices: Iterable[int]) -> "Pictures":
        """Return some of the pictures in the order given; none is read."""
        return Pictures(self._read, [self._places[index] for index in indices])


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPictures:
    """Pictures, each with its class or classes and the part of the data it belongs to.

    Nothing is left to be checked: keys differ, every label is one of `classes`, every part is
    known, and no group lies on two sides.
    """

    name: str
    keys: tuple[str, ...]
    """Name of every picture; all differ."""
    images: Sequence[Path | bytes]
    labels: tuple[tuple[str, ...], ...]
    """Classes of every picture: one, or any number where `is_multi_label`."""
    parts: tuple[Part, ...]
    classes: Mapping[str, Words]
    """What is said of each class, in the order of the classes; empty where only the name is."""
    groups: tuple[str, ...] | None = None
    """Pictures of one group, such as photographs of one thing, are never on two sides."""
    templates: Words = field(default_factory=dict[str, tuple[str, ...]])
    metric: MetricKind = "accuracy"
    is_multi_label: bool = False
    positive: tuple[str, ...] = ()
    """The classes that an inspection must find, such as defects."""
    targets: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the user wants to reach, as the file has it."""
    bad: tuple[BadRow, ...] = ()
    """Rows and files that cannot be used."""
    max_bad: int = 0
    """Rows, files and pictures that may be unusable."""
    source: str = ""
    """Where it was read from, for messages."""

    def __post_init__(self) -> None:
        sizes = {len(self.keys), len(self.images), len(self.labels), len(self.parts)}
        if len(sizes) != 1 or (self.groups is not None and len(self.groups) != len(self.keys)):
            raise ValueError("keys, images, labels, parts and groups differ in number")
        _check_classes(self)
        _check_keys(self)
        _check_groups(self)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(self.classes)

    @property
    def truth(self) -> tuple[str, ...]:
        """The one class of every picture.

        Raises:
            ConfigError: if the pictures may have several.
        """
        if self.is_multi_label:
            raise ConfigError(f"{self.name}: its pictures may have several classes")
        return tuple(names[0] for names in self.labels)

    @cached_property
    def empty_classes(self) -> tuple[str, ...]:
        """Classes that no picture has: distractors, or misspelt."""
        seen = {name for names in self.labels for name in names}
        return tuple(name for name in self.classes if name not in seen)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of names, classes, parts, groups and words; pictures are not read for it."""
        rows: list[tuple[str, ...]] = [
            (key, part, *labels)
            for key, part, labels in zip(self.keys, self.parts, self.labels, strict=True)
        ]
        rows.append(self.groups or ())
        rows += [_flat(name, words) for name, words in self.classes.items()]
        rows.append(_flat("templates", self.templates))
        rows.append((self.metric, str(self.is_multi_label), *self.positive))
        return fingerprint(rows)

    def subset(self, indices: Iterable[int]) -> "LabelledPictures":
        """Return some of the pictures in the order given, with all classes; bad rows stay behind.

        Raises:
            DataError: if an index is given twice.
        """
        chosen = list(indices)
        images = self.images
        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen),
            images=images.subset(chosen)
            if isinstance(images, Pictures)
            else [images[i] for i in chosen],
            labels=tuple(self.labels[i] for i in chosen),
            parts=tuple(self.parts[i] for i in chosen),
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
            bad=(),
        )

    def part(self, name: Part) -> "LabelledPictures":
        """Return the pictures of one part; there may be none."""
        return self.subset(i for i, part in enumerate(self.parts) if part == name)

    def words(self, language: str = ANY_LANGUAGE) -> dict[str, tuple[str, ...]] | None:
        """Return what the user says of every class, or None where he gave names only.

        A class that is not described stands for its name; `in_language` says which sentences are
        taken where there are none in that language.
        """
        if not any(self.classes.values()):
            return None
        return {
            name: in_language(words, language) or (spoken(name),)
            for name, words in self.classes.items()
        }

    def asked(
        self, language: str, own: Sequence[str]
    ) -> tuple[dict[str, tuple[str, ...]], Sequence[str] | None]:
        """Return what is asked of a model: sentences of every class, and templates for them.

        Names alone are read out, and put into the set's templates, or into `own`, the model's.
        """
        said, templates = self.words(language), self.templates_in(language)
        if said is None:
            return {name: (spoken(name),) for name in self.classes}, templates or own
        return said, templates

    def templates_in(self, language: str = ANY_LANGUAGE) -> tuple[str, ...] | None:
        """Return the set's own templates, or None if it has none."""
        return in_language(self.templates, language) or None


def spoken(name: str) -> str:
    """Return how a class name is read out: folders say `car_side`, people say "car side"."""
    return name.replace("_", " ").strip() or name


def _check_classes(labelled: LabelledPictures) -> None:
    where = labelled.source or labelled.name
    if len(labelled.classes) < 2:
        raise DataError(
            f"{where}: {len(labelled.classes)} class; expected two or more to choose from",
            hint="add pictures of another class, or name the classes in [classes] of a .toml",
        )
    for key, labels in zip(labelled.keys, labelled.labels, strict=True):
        if not labelled.is_multi_label and len(labels) != 1:
            raise DataError(f"{where}: {key} has {len(labels)} classes, expected one")
        for label in labels:
            if label not in labelled.classes:
                raise DataError(
                    f"{where}: {key} is of class {label!r}, which is not one of the classes",
                    hint=nearest(label, labelled.classes),
                )
    for name in labelled.positive:
        if name not in labelled.classes:
            raise ConfigError(
                f"{where}: positive: {name!r} is not one of the classes",
                hint=nearest(name, labelled.classes),
            )


def _check_keys(labelled: LabelledPictures) -> None:
    if len(set(labelled.keys)) == len(labelled.keys):
        return
    seen: set[str] = set()
    for key in labelled.keys:
        if key in seen:
            raise DataError(f"{labelled.source or labelled.name}: {key} is there twice")
        seen.add(key)


def _check_groups(labelled: LabelledPictures) -> None:
    side: dict[str, tuple[str, str]] = {}
    for key, part, group in zip(
        labelled.keys, labelled.parts, labelled.groups or labelled.keys, strict=True
    ):
        first_key, first_part = side.setdefault(group, (key, part))
        if part != first_part:
            raise DataError(
                f"{labelled.source or labelled.name}: group {group!r} is on two sides: {first_key} "
                f"in {first_part}, {key} in {part}",
                hint="pictures of one thing must all be learnt from, or all be measured on",
            )


def _flat(name: str, words: Words) -> tuple[str, ...]:
    return (name, *(text for code, texts in words.items() for text in (f"[{code}]", *texts)))
