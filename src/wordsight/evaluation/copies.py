"""Which pictures of an evaluation set have a near copy in a training set.

By hash, which needs nothing and knows re-encoded and resized files; or by the vectors of a
duplicate detector (`wordsight.training.duplicate_detector`), which also knows crops and tints.

Shape letters: T training pictures, N evaluation pictures, E width of the detector's vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import finite

COPY_BITS = 4
"""Of 64, by which the hashes of copies may differ: more lets in pictures that are only alike."""
_CHUNK = 1 << 22

By = Literal["hash", "detector"]


@dataclass(frozen=True, slots=True)
class CopyPair:
    """An evaluation picture and the training picture it is most like."""

    evaluation: int
    """Place among the evaluation pictures."""
    train: int
    likeness: float
    """Cosine of the detector's vectors; for hashes the share of equal bits."""
    by: By


def pairs_by_hash(
    train: Sequence[int], evaluation: Sequence[int], *, max_distance: int = COPY_BITS
) -> list[CopyPair]:
    """Return the evaluation pictures whose hash is within so many bits of a training picture's.

    Args:
        train: (T,) values of `wordsight.images.perceptual_hash`.
        evaluation: (N,) likewise.
        max_distance: bits of 64 that may differ.

    Raises:
        InputError: if `max_distance` is not 0 to 64, or a hash does not fit in 64 bits.
    """
    if not 0 <= max_distance <= 64:
        raise InputError(f"max_distance must be 0 to 64 bits, got {max_distance}")
    if any(not 0 <= value < 2**64 for value in (*train, *evaluation)):
        raise InputError("a hash must be 0 to 2**64 - 1")
    known, sought = np.array(train, np.uint64), np.array(evaluation, np.uint64)
    pairs: list[CopyPair] = []
    if not len(known):
        return pairs
    step = max(1, _CHUNK // len(known))
    for start in range(0, len(sought), step):
        differing = np.bitwise_count(sought[start : start + step, None] ^ known)
        nearest = differing.argmin(axis=1)
        for row, column in enumerate(nearest.tolist()):
            bits = int(differing[row, column])
            if bits <= max_distance:
                pairs.append(CopyPair(start + row, column, 1 - bits / 64, "hash"))
    return pairs


def pairs_by_vector(
    train: NDArray[np.floating], evaluation: NDArray[np.floating], *, threshold: float
) -> list[CopyPair]:
    """Return the evaluation pictures whose vector lies close to a training picture's.

    Args:
        train: (T, E) unit rows of a duplicate detector.
        evaluation: (N, E) likewise.
        threshold: cosine from which on two pictures are copies; look at the pairs to choose it.

    Raises:
        InputError: if the widths differ, or a number is not finite.
    """
    known, sought = finite(train, "train"), finite(evaluation, "evaluation")
    if known.ndim != 2 or sought.ndim != 2 or known.shape[1] != sought.shape[1]:
        raise InputError(f"expected rows of one width, got {known.shape} and {sought.shape}")
    pairs: list[CopyPair] = []
    if not len(known):
        return pairs
    step = max(1, _CHUNK // len(known))
    for start in range(0, len(sought), step):
        cosines = sought[start : start + step] @ known.T
        nearest = cosines.argmax(axis=1)
        for row, column in enumerate(nearest.tolist()):
            cosine = float(cosines[row, column])
            if cosine >= threshold:
                pairs.append(CopyPair(start + row, column, cosine, "detector"))
    return pairs


def merged(*found: Sequence[CopyPair]) -> list[CopyPair]:
    """Return one pair for each evaluation picture, the most alike first; earlier lists win."""
    best: dict[int, CopyPair] = {}
    for pairs in found:
        for pair in pairs:
            best.setdefault(pair.evaluation, pair)
    return sorted(best.values(), key=lambda pair: (-pair.likeness, pair.evaluation))
