"""Vectors that are searched: measured once, and read block by block.

Shape letters: N rows, E embedding width, B rows of one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

BLOCK_ROWS = 4096
"""A block and its scores stay in cache; 1,024 to 16,384 rows were equally fast."""
NEARLY_UNIT = 1e-5
"""Rows as near to unit length as this are scanned as they are; the error bound makes up for it."""
SHORTEST, LONGEST = 1e-15, 1e15
"""Lengths between which float32 neither overflows nor loses digits; 0 is allowed besides."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows that lie together, or those of them that may be found."""

    number: int
    """Which one of its part; the last may be shorter."""
    own: slice | NDArray[np.int64]
    """Its rows within the part."""
    vectors: NDArray[np.float32]
    """(B, E)"""
    lengths: NDArray[np.float32]
    """(B,)"""

    def some(self, places: NDArray[np.int64]) -> "Block":
        """Return the rows at `places`, copied."""
        rows = self.rows()[places]
        return Block(self.number, rows, self.vectors[places], self.lengths[places])

    def rows(self) -> NDArray[np.int64]:
        """Return the number of each row within the part, (B,)."""
        if isinstance(self.own, slice):
            return np.arange(int(self.own.start), int(self.own.stop), dtype=np.int64)
        return self.own


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Vectors that are searched, and what their lengths are."""

    vectors: NDArray[np.float32]
    """(N, E); may be a memory map."""
    lengths: NDArray[np.float32]
    """(N,); 1 for rows of zeros, whose cosine is 0 with everything."""
    deviation: float
    """Greatest difference of a length from 1."""

    @classmethod
    def measure(cls, vectors: NDArray[np.float32]) -> "Rows":
        """Compute lengths in one pass, block by block; the vectors are not copied.

        Raises:
            InputError: for a shape or type that does not fit, or numbers that are not finite.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.shape[1]:
            raise InputError(
                f"expected vectors of shape (N, E) in float32, got {vectors.shape} in "
                f"{vectors.dtype}",
                hint="vectors.astype(numpy.float32)",
            )
        lengths = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), BLOCK_ROWS):
            lengths[start : start + BLOCK_ROWS] = _lengths(vectors, start)
        deviation = float(np.abs(lengths - 1).max(initial=0))
        return cls(vectors, lengths, deviation)

    @property
    def slack(self) -> float | None:
        """What the lengths add to the error of a product; None says that it must be divided."""
        return 2 * self.deviation if self.deviation <= NEARLY_UNIT else None

    def blocks(self, chosen: NDArray[np.bool_] | None = None) -> Iterator[Block]:
        """Yield the rows that are chosen (N,), all if not given.

        Rows that are not chosen cost nothing; a block of which all are chosen is not copied.
        """
        for number, start in enumerate(range(0, len(self.vectors), BLOCK_ROWS)):
            own = slice(start, min(start + BLOCK_ROWS, len(self.vectors)))
            block = Block(number, own, self.vectors[own], self.lengths[own])
            if chosen is None or chosen[own].all():
                yield block
            elif chosen[own].any():
                yield block.some(np.flatnonzero(chosen[own]))


def _lengths(vectors: NDArray[np.float32], start: int) -> NDArray[np.float32]:
    block = vectors[start : start + BLOCK_ROWS]
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("be,be->b", block, block))
    odd = np.flatnonzero(~((lengths >= SHORTEST) & (lengths <= LONGEST)))
    for place in odd[block[odd].any(axis=1)]:
        if not np.isfinite(block[place]).all():
            raise InputError(f"vector {start + place} holds numbers that are not finite")
        raise InputError(
            f"vector {start + place} has length {np.linalg.norm(block[place].astype(float)):.1e}; "
            f"expected {SHORTEST:.0e} to {LONGEST:.0e}",
            hint="divide vectors by their lengths",
        )
    lengths[odd] = 1
    return lengths
