"""A supervised classifier as a teacher that speaks class names.

A vocabulary gives words for every class of the image tower's classifier; class pictures show what
the classes look like. Together they teach the space a thousand things that no pair describes.

Shape letters: N pictures, D features, K classes with words, T words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wordsight.config import from_dict
from wordsight.data import read_pairs, sentence_key
from wordsight.errors import ConfigError, DataError
from wordsight.images import find_images

RAREST = 1e-6
"""Frequencies below this count as this much, so that nothing is divided by zero."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words for classes: those of the classifier first, in its order, then any others."""

    texts: tuple[tuple[str, ...], ...]
    general: tuple[tuple[tuple[str, ...], ...], ...]
    """For every class, the words of its wider group on each level; empty where it has none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The first words of every class."""
        return tuple(texts[0] for texts in self.texts)

    def index(self) -> dict[str, int]:
        """Map every first word to its class."""
        return {sentence_key(name): number for number, name in enumerate(self.names)}

    def levels(self) -> list[tuple[list[tuple[str, ...]], list[int]]]:
        """Return, for each level, the words of every group and the group of every class.

        The classes themselves are the first level. A class without a group has the group -1.
        """
        levels = [(list(self.texts), list(range(len(self.texts))))]
        for level in range(max((len(entry) for entry in self.general), default=0)):
            groups: dict[tuple[str, ...], int] = {}
            members: list[int] = []
            for entry in self.general:
                words = entry[level] if level < len(entry) else ()
                members.append(groups.setdefault(words, len(groups)) if words else -1)
            levels.append((list(groups), members))
        return levels


def read_vocabulary(path: Path, *, num_classes: int) -> Vocabulary:
    """Read JSON lines, one per class:

        {"texts": ["tench", "Tinca tinca"], "general": [["fish"], ["animal"]]}

    `general` may be left out; it names wider groups, nearest first.

    Raises:
        ConfigError: naming the line that cannot be used, or if there are fewer than `num_classes`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    entries = [_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(entries) < num_classes:
        raise ConfigError(
            f"{path}: words for {len(entries)} classes; the classifier has {num_classes}",
            hint="one line per class, in the order of the classifier's outputs",
        )
    return Vocabulary(tuple(e.texts for e in entries), tuple(e.general for e in entries))


@dataclass(frozen=True, kw_only=True, slots=True)
class VocabularyEntry:
    """One line of a vocabulary."""

    texts: tuple[str, ...]
    general: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        words = [word for group in (self.texts, *self.general) for word in group]
        if not self.texts or not all(word.strip() for word in words):
            raise ValueError("texts must hold words, and no word may be empty")


def _entry(path: Path, number: int, line: str) -> VocabularyEntry:
    where = f"{path}: line {number}"
    try:
        values: object = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f'{where}: expected {{"texts": [...]}}')
    return from_dict(VocabularyEntry, values, where=where)  # pyright: ignore[reportUnknownArgumentType]


@dataclass(frozen=True, slots=True)
class ClassPictures:
    """Pictures for the teacher, and the class of those whose class is given (-1 elsewhere)."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def read_class_pictures(source: Path, vocabulary: Vocabulary, *, max_bad: int) -> ClassPictures:
    """Read a folder of pictures, or a table of pictures and class names.

    Raises:
        DataError: if a class name is not the first word of any class of the vocabulary.
    """
    if source.is_dir() and not any(source.glob("*.csv")):
        paths = find_images([str(source)])
        return ClassPictures(tuple(paths), (-1,) * len(paths))
    pairs = read_pairs(source, max_bad=max_bad)
    index = vocabulary.index()
    labels: list[int] = []
    for pair in pairs:
        if sentence_key(pair.text) not in index:
            raise DataError(
                f"{pair.source} row {pair.row}: class {pair.text!r} is not in the vocabulary",
                hint="use the first word of the class, as the vocabulary spells it",
            )
        labels.append(index[sentence_key(pair.text)])
    return ClassPictures(tuple(pair.image for pair in pairs), tuple(labels))


@dataclass(frozen=True, slots=True)
class ClassLevel:
    """Groups of classes, what the teacher says of them, and their words."""

    teacher: Tensor
    """(N, G) probability of each group, from the classifier and the given labels."""
    words: Tensor
    """(G, W) rows of the bank's `text_features`, padded with -1."""

    def sample_words(self, generator: torch.Generator) -> Tensor:
        """Draw one word per group, (G,) rows of `text_features`."""
        counts = (self.words >= 0).sum(dim=1)
        chosen = (torch.rand(len(counts), generator=generator) * counts).long()
        return self.words.gather(1, chosen[:, None]).squeeze(1)


@dataclass(frozen=True, slots=True)
class ClassBank:
    """What the teacher teaches with, as tensors."""

    features: Sequence[Tensor]
    """(N, D) for every view of the pictures: as they are, and shrunk."""
    logits: Sequence[Tensor]
    """(N, K) class scores for every view."""
    text_features: Tensor
    """(T, D') features of all words."""
    levels: Sequence[ClassLevel]
    """The classes themselves, then wider groups."""
    names: tuple[str, ...]
    """The first words of the classifier's classes, in its order."""


def make_levels(vocabulary: Vocabulary, opinion: Tensor) -> tuple[list[str], list[ClassLevel]]:
    """Number all words, and add up the teacher's opinion (N, K) over every group of classes."""
    place: dict[str, int] = {}
    levels: list[ClassLevel] = []
    for groups, members in vocabulary.levels():
        words = torch.full((len(groups), max(map(len, groups))), -1)
        for number, texts in enumerate(groups):
            rows = [place.setdefault(text, len(place)) for text in texts]
            words[number, : len(rows)] = torch.tensor(rows)
        teacher = torch.zeros(len(opinion), len(groups) + 1)
        teacher.index_add_(1, torch.tensor(members) % (len(groups) + 1), opinion)
        teacher = teacher[:, : len(groups)]
        levels.append(ClassLevel(balanced(teacher) if levels else teacher, words))
    return list(place), levels


def balanced(teacher: Tensor) -> Tensor:
    """Give every group the same say, keeping how much of each picture (N, G) is in groups at all.

    A hundred breeds make "dog" a hundred times as likely as "horse", which has one: what is said of
    a picture is divided by how often it is said of any (logit adjustment, Menon et al., 2020,
    arXiv 2007.07314).
    """
    mass = teacher.sum(dim=1, keepdim=True)
    evened = teacher / teacher.mean(dim=0).clamp(min=RAREST)
    return evened / evened.sum(dim=1, keepdim=True).clamp(min=RAREST) * mass


def teacher_probability(
    logits: np.ndarray, labels: Sequence[int], num_classes: int, *, trust: float
) -> Tensor:
    """Mix the classifier's opinion with given classes, (N, num_classes).

    A picture of a class the classifier does not know keeps none of its opinion.
    """
    opinion = torch.zeros(len(logits), num_classes)
    opinion[:, : logits.shape[1]] = torch.as_tensor(logits).softmax(dim=1)
    for row, label in enumerate(labels):
        if label < 0:
            continue
        share = trust if label < logits.shape[1] else 1.0
        opinion[row] *= 1 - share
        opinion[row, label] += share
    return opinion
