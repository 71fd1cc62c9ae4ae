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

from wordsight.data import read_pairs, sentence_key
from wordsight.errors import ConfigError, DataError
from wordsight.images import find_images

MAX_WORDS = 64


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words for classes: those of the classifier first, in its order, then any others."""

    texts: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The first words of every class."""
        return tuple(texts[0] for texts in self.texts)

    def index(self) -> dict[str, int]:
        """Map every first word to its class."""
        return {sentence_key(name): number for number, name in enumerate(self.names)}


def read_vocabulary(path: Path, *, num_classes: int) -> Vocabulary:
    """Read JSON lines {"texts": ["tench", "Tinca tinca"]}, one per class.

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
    return Vocabulary(tuple(entries))


def _entry(path: Path, number: int, line: str) -> tuple[str, ...]:
    try:
        texts: object = json.loads(line)["texts"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f'{path}: line {number}: expected {{"texts": [...]}}') from None
    words = texts if isinstance(texts, list) else []  # pyright: ignore[reportUnknownVariableType]
    if not words or not all(isinstance(w, str) and w.strip() for w in words):  # pyright: ignore[reportUnknownVariableType]
        raise ConfigError(f"{path}: line {number}: texts must be a list of words, not empty")
    return tuple(str(word) for word in words[:MAX_WORDS])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


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
class ClassBank:
    """What the teacher teaches with, as tensors."""

    features: Sequence[Tensor]
    """(N, D) for every view of the pictures: as they are, and shrunk."""
    logits: Sequence[Tensor]
    """(N, K') class scores for every view."""
    teacher: Tensor
    """(N, K) probability of each class, from the classifier and the given labels."""
    weights: Tensor
    """(N,) how often a picture is drawn, relative to others."""
    text_features: Tensor
    """(T, D') features of all words."""
    words_of_class: Tensor
    """(K, W) rows of `text_features` for every class, padded with -1."""

    def sample_words(self, generator: torch.Generator) -> Tensor:
        """Draw one word per class, (K,) rows of `text_features`."""
        counts = (self.words_of_class >= 0).sum(dim=1)
        chosen = (torch.rand(len(counts), generator=generator) * counts).long()
        return self.words_of_class.gather(1, chosen[:, None]).squeeze(1)


def teacher_probability(
    logits: np.ndarray, labels: Sequence[int], num_classes: int, *, trust: float
) -> Tensor:
    """Mix the classifier's opinion with given classes, (N, num_classes).

    A picture of a class the classifier does not know keeps none of its opinion.
    """
    opinion = torch.zeros(len(logits), num_classes)
    opinion[:, : logits.shape[1]] = torch.from_numpy(logits).softmax(dim=1)
    for row, label in enumerate(labels):
        if label < 0:
            continue
        share = trust if label < logits.shape[1] else 1.0
        opinion[row] *= 1 - share
        opinion[row, label] += share
    return opinion
