"""Everything an alignment learns from, gathered before learning starts.

Shape letters: N pictures, M sentences, D features, K classes.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wordsight.data import (
    BadRow,
    Pairs,
    Positives,
    find_positives,
    split_pairs,
)
from wordsight.errors import ConfigError, DataError, ImageError
from wordsight.images import near_duplicate_groups, open_image, perceptual_hash
from wordsight.training.align_config import AlignConfig
from wordsight.training.class_bank import (
    ClassBank,
    make_levels,
    read_class_pictures,
    read_vocabulary,
    teacher_probability,
)
from wordsight.training.picture_features import FeatureReader, Progress
from wordsight.training.text_features import TextFeatureReader

MIN_PICTURES = 8
NEAR_DUPLICATE_BITS = 4
"""Two pictures whose 64-bit hashes differ in at most this many bits count as one."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Indices of the pairs to learn from, to choose the epoch by, and to measure on."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    held_out: tuple[int, ...]
    num_groups_kept: int
    """Groups of near-duplicate pictures, each kept in one part."""
    num_images_kept: int


@dataclass(frozen=True, slots=True)
class AlignData:
    """Pairs, their parts and their features."""

    pairs: Pairs
    positives: Positives
    parts: Parts
    image_features: Sequence[Tensor]
    """(N, D) for every view: as they are, and shrunk."""
    image_logits: Sequence[Tensor | None]
    """(N, K) for every view, if the tower has a classifier."""
    text_features: Tensor
    """(M, D')"""
    bank: ClassBank | None
    bad_pictures: tuple[BadRow, ...]

    def images_of(self, pair_indices: Sequence[int]) -> list[int]:
        """Return the pictures of some pairs, each once."""
        return sorted({int(self.positives.image_of_pair[i]) for i in pair_indices})

    def texts_of(self, pair_indices: Sequence[int]) -> list[int]:
        """Return the sentences of some pairs, each once."""
        return sorted({int(self.positives.text_of_pair[i]) for i in pair_indices})


def gather(
    pairs: Pairs,
    images: FeatureReader,
    texts: TextFeatureReader,
    config: AlignConfig,
    *,
    progress: Progress | None = None,
) -> AlignData:
    """Compute features of all pairs, and hold some of them out.

    Raises:
        DataError: if too few pictures are left, or too many cannot be read.
    """
    views = (0, *config.low_resolution)
    found, errors = images.read(pairs.images, progress=progress)
    pairs, bad = _without(pairs, errors, max_bad=config.max_bad)
    if len(pairs.images) < MIN_PICTURES:
        raise DataError(
            f"{len(pairs.images)} usable pictures; aligning needs at least {MIN_PICTURES}",
            hint="add pairs: some hundreds are a good start",
        )
    shrunk = [images.read(pairs.images, shrink=v, progress=progress)[0] for v in views[1:]]
    all_views = [found, *shrunk]
    groups = near_duplicate_groups(
        _hashes(pairs.images, progress), max_distance=NEAR_DUPLICATE_BITS
    )
    positives = find_positives(pairs)
    sentence, *others = positives.texts
    if not others:
        raise DataError(
            f"all pictures have the same sentence {sentence!r}; nothing tells them apart"
        )
    return AlignData(
        pairs=pairs,
        positives=positives,
        parts=divide(pairs, groups, held_out=config.held_out, seed=config.seed),
        image_features=[torch.as_tensor(np.ascontiguousarray(v.features)) for v in all_views],
        image_logits=[
            torch.as_tensor(np.ascontiguousarray(v.logits)) if v.logits is not None else None
            for v in all_views
        ],
        text_features=torch.as_tensor(texts.read(positives.texts, progress)),
        bank=_class_bank(images, texts, config, progress),
        bad_pictures=bad,
    )


def divide(pairs: Pairs, groups: Sequence[int], *, held_out: float, seed: int) -> Parts:
    """Hold out a share to measure on and one to choose the epoch by; duplicates stay together.

    Raises:
        DataError: if there are too few groups of pictures for three parts.
    """
    first = split_pairs(pairs, image_groups=groups, held_out=held_out, seed=seed)
    rest = pairs.subset(first.train)
    group_of = dict(zip(pairs.images, groups, strict=True))
    share = min(0.5, held_out / (1 - held_out))
    second = split_pairs(
        rest, image_groups=[group_of[image] for image in rest.images], held_out=share, seed=seed
    )
    return Parts(
        train=tuple(first.train[i] for i in second.train),
        validation=tuple(first.train[i] for i in second.held_out),
        held_out=first.held_out,
        num_groups_kept=first.num_groups_kept,
        num_images_kept=first.num_images_kept,
    )


def _without(
    pairs: Pairs, errors: dict[Path, ImageError], *, max_bad: int
) -> tuple[Pairs, tuple[BadRow, ...]]:
    """Set aside the pairs whose picture cannot be read."""
    if not errors:
        return pairs, ()
    bad = tuple(
        BadRow(pair.row, pair.source, str(errors[pair.image]), str(pair.image))
        for pair in pairs
        if pair.image in errors
    )
    if len(bad) + len(pairs.bad) > max_bad:
        first = "; ".join(f"{row.source} row {row.row}: {row.reason}" for row in bad[:5])
        raise DataError(
            f"{len(bad)} pairs have a picture that cannot be read, {max_bad} allowed: {first}",
            hint="repair or remove them, or raise --max-bad",
        )
    return pairs.subset(i for i, pair in enumerate(pairs) if pair.image not in errors), bad


def _hashes(paths: Sequence[Path], progress: Progress | None) -> list[int]:
    hashes: list[int] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        compute: Callable[[Path], int] = lambda path: perceptual_hash(open_image(path))  # noqa: E731
        for value in pool.map(compute, paths):
            hashes.append(value)
            if progress:
                progress("duplicates", len(hashes), len(paths))
    return hashes


def _class_bank(
    images: FeatureReader,
    texts: TextFeatureReader,
    config: AlignConfig,
    progress: Progress | None,
) -> ClassBank | None:
    if config.vocabulary is None:
        if config.class_pictures is not None:
            raise ConfigError("class_pictures need a vocabulary that gives words for the classes")
        return None
    if not images.tower.has_classifier:
        raise ConfigError(
            f"image tower {images.tower.name!r} has no classifier that a vocabulary could name",
            hint="leave the vocabulary out, or take efficientnet-lite0",
        )
    if config.class_pictures is None:
        raise ConfigError("the vocabulary needs class_pictures to look at")
    num_classes = images.num_classes
    vocabulary = read_vocabulary(config.vocabulary, num_classes=num_classes)
    chosen = read_class_pictures(config.class_pictures, vocabulary, max_bad=config.max_bad)
    native, errors = images.read(chosen.paths, progress=progress)
    if len(errors) > config.max_bad:
        raise DataError(
            f"{len(errors)} class pictures cannot be read, {config.max_bad} allowed: "
            f"{next(iter(errors.values()))}"
        )
    kept = [path for path in chosen.paths if path not in errors]
    labels = [n for path, n in zip(chosen.paths, chosen.labels, strict=True) if path not in errors]
    views = [native]
    views += [images.read(kept, shrink=v, progress=progress)[0] for v in config.low_resolution]
    assert native.logits is not None
    opinion = teacher_probability(
        native.logits, labels, len(vocabulary.texts), trust=config.label_trust
    )
    words, levels = make_levels(vocabulary, opinion)
    return ClassBank(
        features=[torch.as_tensor(np.ascontiguousarray(v.features)) for v in views],
        logits=[torch.as_tensor(np.ascontiguousarray(v.logits)) for v in views],  # type: ignore[arg-type]
        text_features=torch.as_tensor(texts.read(words, progress)),
        levels=levels,
        names=vocabulary.names[:num_classes],
    )
