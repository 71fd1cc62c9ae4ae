"""Pictures that look the same although their files differ: re-encoded, resized, slightly edited."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.images.colour import to_rgb

_GRID = 32
_NUM_FREQUENCIES = 8
_FLAT_STD = 1.0
"""Grey levels; below this the grid holds rounding and compression noise, not a picture."""
_TILE_VALUES = 2**21


def perceptual_hash(image: Image.Image) -> int:
    """Return 64 bits that stay nearly the same when a picture is re-encoded or resized.

    The picture is averaged to 32 x 32 grey values; bit k says whether the k-th of the 8 x 8 lowest
    frequencies of their cosine transform lies above the median. Brightness (frequency 0) is left
    out: its bit is always 0. About half of the bits are set, so unrelated pictures differ in 31
    or so; copies differ in 0 to 8. Turned or mirrored copies are not recognised.

    A picture without structure (standard deviation of the 32 x 32 values below one grey level)
    would give bits of noise, or the same bits for every such picture. Its hash is a digest of its
    size and exact pixels instead: only exact copies of flat pictures are near duplicates.
    """
    rgb = image if image.mode == "RGB" else to_rgb(image, name=f"picture of mode {image.mode}")
    small = rgb.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX)
    grid = np.asarray(small, np.float64)
    if grid.std() < _FLAT_STD:
        content = f"{rgb.width} {rgb.height} ".encode() + rgb.tobytes()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
    waves = _cosines()
    values = (waves @ grid @ waves.T).ravel()[1:]
    bits = values > np.median(values)
    return int.from_bytes(np.packbits(np.concatenate([[False], bits])).tobytes())


def near_duplicate_groups(hashes: Sequence[int], *, max_distance: int) -> list[int]:
    """Return the group of each hash: linked by steps of at most `max_distance` differing bits.

    Groups are numbered from 0 in the order of their first member. Time grows with the square of
    the number of hashes, memory does not.

    Raises:
        ValueError: if `max_distance` is not 0 to 64, or a hash does not fit in 64 bits.
    """
    if not 0 <= max_distance <= 64:
        raise ValueError(f"max_distance must be 0 to 64 bits, got {max_distance}")
    if any(not 0 <= value < 2**64 for value in hashes):
        raise ValueError("a hash must be 0 to 2**64 - 1")
    values = np.array(hashes, np.uint64)
    labels = np.zeros(len(values), np.int64)
    remaining, group = np.arange(len(values)), 0
    while remaining.size:
        frontier, remaining = remaining[:1], remaining[1:]
        while frontier.size:
            labels[frontier] = group
            is_near = _is_near(values[frontier], values[remaining], max_distance)
            frontier, remaining = remaining[is_near], remaining[~is_near]
        group += 1
    return labels.tolist()


def _is_near(
    known: NDArray[np.uint64], others: NDArray[np.uint64], max_distance: int
) -> NDArray[np.bool_]:
    """Say for each of `others` whether any of `known` is within the distance."""
    is_near = np.zeros(len(others), np.bool_)
    rows = max(1, _TILE_VALUES // max(1, len(others)))
    for start in range(0, len(known), rows):
        differing = np.bitwise_count(known[start : start + rows, None] ^ others)
        is_near |= (differing <= max_distance).any(axis=0)
    return is_near


def _cosines() -> NDArray[np.float64]:
    """Return the lowest rows of the cosine transform (DCT-II), one frequency a row."""
    frequency, place = np.arange(_NUM_FREQUENCIES)[:, None], np.arange(_GRID)
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * _GRID))
