"""Holding pairs out for measurement without letting near-duplicate pictures leak across."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from wordsight.config import nearest
from wordsight.data.pairs import Pairs
from wordsight.data.positives import sentence_key
from wordsight.errors import ConfigError, DataError, InputError


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the pairs on each side, in the order of the rows, and the leak check."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    num_train_images: int
    num_held_out_images: int
    num_groups_kept: int
    """Groups of two or more near-duplicate pictures, each kept on one side."""
    num_images_kept: int
    """Pictures in these groups."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """What two sides of a user's own split have in common."""

    images: tuple[tuple[Path, Path], ...]
    """Near-duplicate pictures on two sides; each such picture occurs at least once."""
    num_sentences: int
    """Sentences that occur on several sides; normal where class names are the sentences."""
    sides: tuple[str, ...]


def split_pairs(
    pairs: Pairs, *, image_groups: Sequence[int], held_out: float | int, seed: int
) -> Split:
    """Hold out pictures at random, never splitting a group of near-duplicates.

    The order in which groups are held out is a hash of the seed and of the smallest name in the
    group, relative to the folder of the table: the order of the rows, the place of the folder and
    the numbering of the groups do not matter. A group that would exceed the number wanted stays in
    training, so slightly fewer pictures may be held out; at least one group is.

    Args:
        image_groups: the group of every picture of `pairs.images`.
        held_out: a fraction of the pictures (float, between 0 and 1), or their number (int).

    Raises:
        InputError: if there is not one group per picture.
        ConfigError: if `held_out` leaves a side empty.
        DataError: if all pictures are in one group.
    """
    groups = _groups(pairs, image_groups)
    num_images = len(pairs.images)
    if len(groups) < 2:
        raise DataError(
            f"{num_images} pictures in {len(groups)} groups of near-duplicates; "
            "a split needs 2 groups",
            hint="add pictures that differ, or give separate data for the measurement",
        )
    wanted = _num_held_out(held_out, num_images)
    ranked = sorted(groups, key=lambda images: _rank(pairs, images, seed))
    chosen: set[Path] = set()
    for images in ranked:
        if len(chosen) + len(images) <= wanted:
            chosen.update(images)
    if not chosen:
        chosen.update(min(ranked, key=len))
    sides = [pair.image in chosen for pair in pairs]
    kept = [images for images in groups if len(images) > 1]
    return Split(
        train=tuple(i for i, is_held_out in enumerate(sides) if not is_held_out),
        held_out=tuple(i for i, is_held_out in enumerate(sides) if is_held_out),
        num_train_images=num_images - len(chosen),
        num_held_out_images=len(chosen),
        num_groups_kept=len(kept),
        num_images_kept=sum(map(len, kept)),
    )


def find_leaks(pairs: Pairs, *, image_groups: Sequence[int], column: str = "split") -> Leaks:
    """Find near-duplicate pictures, and count sentences, on several sides of a given split.

    Args:
        image_groups: the group of every picture of `pairs.images`.
        column: the column that names the side of each pair; where it is empty, there is none.

    Raises:
        InputError: if there is not one group per picture.
        ConfigError: if there is no such column.
    """
    groups = _groups(pairs, image_groups)
    if not all(column in columns for columns in pairs.columns):
        known = dict.fromkeys(name for columns in pairs.columns for name in columns)
        raise ConfigError(
            f"the pairs have no column {column!r} that names their side of the split",
            hint=nearest(column, known) if known else "",
        )
    sides = [columns[column] for columns in pairs.columns]
    sides_of_image: dict[Path, dict[str, None]] = defaultdict(dict)
    sides_of_sentence: dict[str, set[str]] = defaultdict(set)
    for pair, side in zip(pairs, sides, strict=True):
        if not side:
            continue
        sides_of_image[pair.image][side] = None
        sides_of_sentence[sentence_key(pair.text)].add(side)
    leaks: list[tuple[Path, Path]] = []
    for images in groups:
        on_side: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            for side in sides_of_image[image]:
                on_side[side].append(image)
        for ours, theirs in combinations(on_side.values(), 2):
            leaks += _cover(ours, theirs)
    return Leaks(
        images=tuple(leaks),
        num_sentences=sum(len(one) > 1 for one in sides_of_sentence.values()),
        sides=tuple(dict.fromkeys(filter(None, sides))),
    )


def _groups(pairs: Pairs, image_groups: Sequence[int]) -> list[list[Path]]:
    if len(image_groups) != len(pairs.images):
        raise InputError(
            f"{len(image_groups)} groups for {len(pairs.images)} pictures; expected one per picture"
        )
    members: dict[Hashable, list[Path]] = defaultdict(list)
    for image, group in zip(pairs.images, image_groups, strict=True):
        members[group].append(image)
    return list(members.values())


def _num_held_out(held_out: float | int, num_images: int) -> int:
    if isinstance(held_out, float):
        if not 0 < held_out < 1:
            raise ConfigError(
                f"held_out is {held_out}, expected a fraction between 0 and 1, or a whole number"
            )
        return min(max(round(held_out * num_images), 1), num_images - 1)
    if not 0 < held_out < num_images:
        raise ConfigError(
            f"held_out is {held_out}, expected 1 to {num_images - 1} of {num_images} pictures"
        )
    return held_out


def _rank(pairs: Pairs, images: list[Path], seed: int) -> bytes:
    """Place a group in the random order; equal for equal content, wherever the folder lies."""
    name = min(_name(image, pairs.root) for image in images)
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def _name(image: Path, root: Path) -> str:
    is_below = image.is_relative_to(root)
    return unicodedata.normalize("NFC", (image.relative_to(root) if is_below else image).as_posix())


def _cover(ours: list[Path], theirs: list[Path]) -> list[tuple[Path, Path]]:
    """Pair up two lists so that each picture occurs; all combinations would be quadratic."""
    last, end = len(ours) - 1, len(theirs) - 1
    return [(ours[min(i, last)], theirs[min(i, end)]) for i in range(max(last, end) + 1)]
