"""A first look in bfloat16: half the bytes, three times the products a second, nothing left out.

A copy of the vectors, each divided by its length and rounded to bfloat16, is multiplied with the
queries by torch, whose products in bfloat16 are exact and whose sums are float32. With x and q of
unit length and x', q' as rounded, by Cauchy and Schwarz

    |x q - x' q'| <= |x - x'| |q| + |x'| |q - q'| + error of the sum,

and the lengths on the right are measured, not guessed. A row whose score is further below what is
needed than this bound cannot be among the best, and every other row is looked at again.

Shape letters: Q queries, N rows, E embedding width, B rows of one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.packages import is_installed, require
from wordsight.transfer.rows import Block, Rows

FEWEST_QUERIES = 3
"""Below, the float32 scan is as fast: torch multiplies one query at half the rate of memory."""
FEWEST_ROWS = 4096
WORTH_LOADING = 1 << 28
"""Products of row and query that gain as much time as loading torch takes."""
FEWEST_ASKED = 128
"""A copy of a block costs as much as so many queries gain on it."""
SUM_ROUNDING = 2.0**-22
"""Of a float32 sum for each product: four times that of rounding, for processors that cut off."""
OTHER_ROUNDING = 1e-6
"""Of the division by the length, and of the residuals' own lengths."""


def is_fast_here() -> bool:
    """Say whether torch is installed and the processor multiplies in bfloat16 by itself.

    Emulated, it is slower than float32. Known for processors with AVX-512 only.
    """
    if not is_installed("torch"):
        return False
    torch = require("torch", extra="torch")
    is_native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(torch.backends.mkldnn.is_available() and is_native())


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Vectors of unit length in bfloat16, and how far they are from the true ones."""

    codes: NDArray[np.int16]
    """(N, E) bits of bfloat16; may be a memory map."""
    losses: NDArray[np.float64]
    """Greatest length of x - x' of each block."""

    @classmethod
    def of(cls, rows: Rows) -> "Rounded":
        """Round all rows."""
        codes = np.empty(rows.vectors.shape, np.int16)
        losses: list[float] = []
        for block, (bits, loss) in zip(rows.blocks(), round_blocks(rows), strict=True):
            codes[block.own] = bits
            losses.append(loss)
        return cls(codes, np.array(losses))


def round_blocks(rows: Rows) -> Iterator[tuple[NDArray[np.int16], float]]:
    """Yield the bits of each block (B, E) and the greatest length of a residual in it."""
    torch = require("torch", extra="torch")
    for block in rows.blocks():
        unit = torch.from_numpy(block.vectors / block.lengths[:, None])
        rounded = unit.to(torch.bfloat16)
        residual = unit.sub_(rounded.float())
        yield rounded.view(torch.int16).numpy(), float(residual.norm(dim=1).max())


class Questions:
    """Queries of unit length, ready for many blocks."""

    def __init__(self, units: NDArray[np.float64]):
        """Round queries (Q, E), given in float64."""
        torch = require("torch", extra="torch")
        self._torch = torch
        self._rounded = torch.from_numpy(units.astype(np.float32)).to(torch.bfloat16)
        rounded = self._rounded.float().numpy().astype(np.float64)
        self._losses = np.linalg.norm(units - rounded, axis=1)
        self._sum = SUM_ROUNDING * units.shape[1] + OTHER_ROUNDING

    def hits(
        self, block: Block, rounded: Rounded, limits: NDArray[np.float32], k: int, crowded: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row in the block and query of every score that may reach its limit.

        Args:
            block: which rows.
            rounded: of the part that the block belongs to.
            limits: (Q,) what a cosine must reach; -inf where nothing is known yet.
            k: how many are looked for.
            crowded: hits above which those are left out that cannot be among the k best of the
                block itself.
        """
        loss = float(rounded.losses[block.number])
        margins = loss + (1 + loss) * self._losses + self._sum
        scores = self._scores(rounded.codes[block.own])
        flat = _at_least(scores, limits - margins)
        if len(flat) > crowded and len(scores) > k:
            own = np.partition(_in_order(scores), len(scores) - k, axis=0)[len(scores) - k]
            # The product itself was rounded to 8 bits.
            true = _value(_in_order(own)) - np.abs(_value(_in_order(own))) * 2.0**-8
            flat = _at_least(scores, np.maximum(limits - margins, true - 2 * margins))
        places, queries = np.divmod(flat, scores.shape[1])
        return places, queries

    def _scores(self, codes: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the products (B, Q), rounded to bfloat16."""
        torch = self._torch
        rows = torch.from_numpy(codes).view(torch.bfloat16)
        return (rows @ self._rounded.T).view(torch.int16).numpy()


def _at_least(scores: NDArray[np.int16], least: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the flat places of scores (B, Q) that are at least `least` (Q,), rounded likewise.

    Rounding keeps order, so a product that reaches `least` does so after both were rounded too.
    Positive floats are in order as their bits are.
    """
    bits = _rounded_down(least)
    if (bits > 0).all():
        return np.flatnonzero(scores >= bits)
    return np.flatnonzero(_in_order(scores) >= _in_order(bits))


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return bits of the greatest bfloat16 that is not above; of zero, those of -0."""
    single = values.astype(np.float32)
    single = np.where(single > values, np.nextafter(single, np.float32(-np.inf)), single)
    single[single == 0] = -0.0
    bits = single.view(np.uint32)
    is_above = (single < 0) & ((bits & 0xFFFF) > 0)
    return ((bits >> 16) + is_above).astype(np.uint16).view(np.int16)


def _in_order(bits: NDArray[np.int16]) -> NDArray[np.int16]:
    """Turn bits of floats into integers of the same order, and back."""
    return bits ^ ((bits >> 15) & 0x7FFF)


def _value(bits: NDArray[np.int16]) -> NDArray[np.float64]:
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
