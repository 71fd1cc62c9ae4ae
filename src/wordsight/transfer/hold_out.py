"""Put a part of the training samples aside, for choices that must not be made on the test part.

Shape letters: N samples, C classes, G groups.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import FitError

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_TRIES = 20


def hold_out(
    truth: NDArray[np.integer],
    names: NDArray[Any],
    *,
    share: float,
    seed: int,
    groups: NDArray[Any] | None = None,
) -> Mask:
    """Mark about `share` of the samples of every class, at least one of each and never all; (N,).

    Samples of one group (cuts of one plate, photos of one person) stay on one side: otherwise the
    part put aside would be known already, and every choice made on it too bold.

    Args:
        truth: places of the classes, (N,).
        names: what the classes are called, (C,), for messages.
        share: between 0 and 1.
        seed: one seed, one split.
        groups: name of the group of every sample, (N,); every sample is its own if not given.

    Raises:
        FitError: if a class has one sample, or one group, only, or no split was found because its
            groups hold other classes too.
    """
    if not 0 < share < 1:
        raise FitError(f"the share put aside is {share}; expected a number between 0 and 1")
    random = np.random.default_rng(seed)
    if groups is None:
        return _by_sample(truth, names, share, random)
    if len(groups) != len(truth):
        raise FitError(f"{len(groups)} groups for {len(truth)} samples")
    _, place = np.unique(groups, return_inverse=True)
    counts = np.zeros((int(place.max()) + 1, len(names)), np.int64)
    np.add.at(counts, (place, truth), 1)
    return _by_group(counts, names, share, random)[place]


def _by_sample(
    truth: NDArray[np.integer], names: NDArray[Any], share: float, random: np.random.Generator
) -> Mask:
    chosen = np.zeros(len(truth), bool)
    for index, name in enumerate(names):
        own = random.permutation(np.flatnonzero(truth == index))
        _check_parts(name, len(own), "sample")
        chosen[own[: _parts(len(own), share)]] = True
    return chosen


def _by_group(
    counts: Integers, names: NDArray[Any], share: float, random: np.random.Generator
) -> Mask:
    """Mark groups (G,), given their samples of each class (G, C)."""
    is_in = counts > 0
    for name, number in zip(names, is_in.sum(axis=0), strict=True):
        _check_parts(name, int(number), "group")
    one_sided: list[object] = []
    for _ in range(_TRIES):
        chosen = _draw_groups(counts, is_in, share, random)
        one_sided = [name for name, own in zip(names, is_in.T, strict=True) if chosen[own].all()]
        if not one_sided:
            return chosen
    raise FitError(
        f"found no split that keeps groups together and class {one_sided[0]!s} on both sides",
        hint="give validation=(features, labels)",
    )


def _draw_groups(counts: Integers, is_in: Mask, share: float, random: np.random.Generator) -> Mask:
    """Let each class, those with few groups first, take groups until it is nearest to its share."""
    chosen = np.zeros(len(counts), bool)
    for index in np.argsort(is_in.sum(axis=0), kind="stable"):
        own = np.flatnonzero(is_in[:, index])
        wanted = share * counts[:, index].sum()
        for group in random.permutation(own[~chosen[own]])[:-1]:
            have = counts[chosen, index].sum()
            if chosen[own].any() and have + counts[group, index] / 2 > wanted:
                break
            chosen[group] = True
    return chosen


def _parts(total: int, share: float) -> int:
    return min(max(1, round(share * total)), total - 1)


def _check_parts(name: object, number: int, kind: str) -> None:
    if number < 2:
        raise FitError(
            f"class {name!s} has {number} {kind}; expected 2 or more, to put one aside",
            hint="give validation=(features, labels), or a fixed penalty",
        )
