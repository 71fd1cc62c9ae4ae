"""Parts for cross-validation: every class spread evenly, every group kept together.

Shape letters: N pictures.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import DataError, InputError


def group_folds(
    labels: Sequence[str], groups: Sequence[str], *, num_folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of every picture, (N,), so that no group lies in two folds.

    The largest groups are placed first, each where its classes are scarcest so far; groups that
    are alike are placed in random order. There are fewer folds than asked for where a class comes
    in fewer groups, because every class must be learnt from whatever fold is held out.

    Args:
        labels: (N,) classes.
        groups: (N,) what belongs together.
        num_folds: how many folds are wanted, two or more.
        seed: of the order of groups that are alike.

    Raises:
        InputError: if lengths differ, or fewer than two folds are wanted.
        DataError: if all pictures of a class are in one group.
    """
    if len(labels) != len(groups) or not len(labels):
        raise InputError(f"expected a group for each label, got {len(groups)} and {len(labels)}")
    if num_folds < 2:
        raise InputError(f"num_folds must be 2 or more, got {num_folds}")
    folds = min(num_folds, need_groups(labels, groups, 2, why="one to learn from, one to judge"))
    content: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1
    sizes = Counter(labels)
    shuffled = sorted(content)
    np.random.default_rng(seed).shuffle(shuffled)
    # Rare classes go first: they are the hardest to spread.
    shuffled.sort(key=lambda name: -max(n / sizes[label] for label, n in content[name].items()))
    filled = [Counter[str]() for _ in range(folds)]
    place: dict[str, int] = {}
    for name in shuffled:
        place[name] = min(range(folds), key=lambda k: _crowding(filled[k], content[name], sizes))
        filled[place[name]].update(content[name])
    _check_spread(filled, sizes)
    return np.array([place[group] for group in groups], dtype=np.int64)


def need_groups(labels: Sequence[str], groups: Sequence[str], least: int, *, why: str) -> int:
    """Return in how many groups the scarcest class comes.

    Raises:
        DataError: if these are fewer than `least`; the message says `why` so many are needed.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        found[label].add(group)
    label, fewest = min(found.items(), key=lambda item: len(item[1]))
    if len(fewest) < least:
        raise DataError(
            f"the pictures of {label!r} come in {len(fewest)} group(s), expected {least} or more: "
            f"{why}",
            hint="add pictures of another part, lot or day",
        )
    return len(fewest)


def _crowding(fold: Counter[str], group: Counter[str], sizes: Counter[str]) -> tuple[float, int]:
    """How full a fold is of what the group holds, then how full it is at all."""
    shares = [fold[label] / sizes[label] for label in group]
    return sum(shares) / len(shares), fold.total()


def _check_spread(filled: Sequence[Counter[str]], sizes: Counter[str]) -> None:
    for label, size in sizes.items():
        if max(fold[label] for fold in filled) == size:
            raise DataError(
                f"the pictures of {label!r} cannot be spread over {len(filled)} folds without "
                "splitting a group",
                hint="add pictures of another part, lot or day",
            )
