"""The greatest cosines of a large matrix: a float32 scan that leaves nothing out, checked exactly.

Shape letters: Q queries, N rows, E embedding width, K places, B rows of one block, H hits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

BLOCK_ROWS = 4096
"""A block and its scores stay in cache; 1,024 to 16,384 rows were equally fast."""
QUERIES_AT_ONCE = 256
FEW_QUERIES = 2
PAIRS_AT_ONCE = 4096
CROWDED = 32
"""Hits for each place, above which a block is cut to its own best before they are checked."""
UNIT_ROUNDING = 2.0**-24
NEARLY_UNIT = 1e-5
"""Rows as near to unit length as this are scanned as they are; the error bound makes up for it."""
SHORTEST, LONGEST = 1e-15, 1e15
"""Lengths between which float32 neither overflows nor loses digits; 0 is allowed besides."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best so far: H entries in order of query, then score falling, then row."""

    query: NDArray[np.int64]
    row: NDArray[np.int64]
    score: NDArray[np.float32]

    def merged(self, other: "_Best", k: int) -> "_Best":
        """Keep the k best of each query; of equal scores the first row."""
        query = np.concatenate([self.query, other.query])
        row = np.concatenate([self.row, other.row])
        score = np.concatenate([self.score, other.score])
        order = np.lexsort((row, -score, query))
        query, row, score = query[order], row[order], score[order]
        is_kept = np.arange(len(query)) - np.searchsorted(query, query) < k
        return _Best(query[is_kept], row[is_kept], score[is_kept])

    def limits(self, num_queries: int, k: int) -> NDArray[np.float32]:
        """Return the k-th best score of each query (Q,), -inf where fewer are known."""
        limits = np.full(num_queries, -np.inf, np.float32)
        ends = np.searchsorted(self.query, np.arange(num_queries), side="right")
        counts = np.bincount(self.query, minlength=num_queries)
        full = counts >= k
        limits[full] = self.score[ends[full] - 1]
        return limits


def greatest_cosines(
    queries: NDArray[np.floating],
    parts: Sequence[Rows],
    k: int,
    *,
    chosen: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k rows with the greatest cosine, and it; of equal cosines the first row wins.

    The scan multiplies in float32. A float32 sum of E products of unit vectors is wrong by no more
    than about E * 2^-24, in whatever order it is added up (Higham, 2002, Accuracy and Stability of
    Numerical Algorithms, 3.1), so every row within twice that of the best is computed again in
    float64 and rounded to float32 at the end. The answer is that of brute force in float64 rounded
    to float32: it depends on no block size, and equal vectors have equal scores wherever they lie.

    Args:
        queries: (Q, E), of any length above 0.
        parts: rows that count on from one part to the next.
        k: at most as many as are chosen.
        chosen: (N,), which rows may be found; all if not given.

    Raises:
        InputError: for queries of another width, of zeros, or that are not finite.
    """
    wide = _checked_queries(queries, parts[0].vectors.shape[1])
    places = np.empty((len(wide), k), np.int64)
    scores = np.empty((len(wide), k), np.float32)
    for start in range(0, len(wide) if k else 0, QUERIES_AT_ONCE):
        tile = slice(start, start + QUERIES_AT_ONCE)
        best = _scan(wide[tile], parts, k, chosen)
        places[tile] = best.row.reshape(-1, k)
        scores[tile] = best.score.reshape(-1, k)
    return places, scores


def _checked_queries(queries: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Return queries in float64, brought near length 1 by powers of two, which round nothing."""
    if queries.ndim != 2 or queries.shape[1] != width:
        raise InputError(f"expected queries of shape (Q, {width}), got {queries.shape}")
    wide = queries.astype(np.float64)
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0)
    is_bad = ~(np.isfinite(largest) & (largest > 0))
    if is_bad.any():
        place = int(np.flatnonzero(is_bad)[0])
        raise InputError(f"query {place} is all zeros or not finite, which has no direction")
    return np.ldexp(wide, -np.frexp(largest)[1])


def _scan(
    wide: NDArray[np.float64],
    parts: Sequence[Rows],
    k: int,
    chosen: NDArray[np.bool_] | None,
) -> _Best:
    sizes = np.linalg.norm(wide, axis=1)
    columns = (wide / sizes[:, None]).astype(np.float32).T
    best = _Best(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    limits = best.limits(len(wide), k)
    room = np.empty((BLOCK_ROWS, len(wide)), np.float32)
    for block, lengths, rows, slack in _blocks(parts, chosen):
        scores = _products(block, columns, room[: len(block)])
        if slack is None:
            scores /= lengths[:, None]
        margin = np.float32(_error(block.shape[1]) + (slack or 0.0))
        places, queries = _hits(scores, limits, margin, k)
        if not len(places):
            continue
        exact = _exact(wide, sizes, queries, block, places)
        best = best.merged(_Best(queries, rows[places], exact), k)
        limits = best.limits(len(wide), k)
    return best


def _products(
    block: NDArray[np.float32], columns: NDArray[np.float32], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Multiply rows (B, E) by columns (E, Q) into `out` (B, Q).

    One query is a matter of reading, which einsum does at twice the speed of OpenBLAS.
    """
    if columns.shape[1] > FEW_QUERIES:
        return np.matmul(block, columns, out=out)
    for query in range(columns.shape[1]):
        np.einsum("be,e->b", block, columns[:, query], out=out[:, query])
    return out


def _error(width: int) -> float:
    """Bound the error of a float32 cosine: of the product, the length, query and result."""
    return (1.5 * width + 16) * UNIT_ROUNDING


def _blocks(
    parts: Sequence[Rows], chosen: NDArray[np.bool_] | None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], float | None]]:
    """Yield vectors (B, E), lengths (B,), row numbers (B,), and what lengths add to the error.

    None for the last says that the scan must divide by the lengths. Rows that are not chosen cost
    nothing; a block of which all are chosen is not copied.
    """
    first = 0
    for part in parts:
        slack = 2 * part.deviation if part.deviation <= NEARLY_UNIT else None
        for start in range(0, len(part.vectors), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(part.vectors))
            rows = np.arange(start, stop)
            block, lengths = part.vectors[start:stop], part.lengths[start:stop]
            if chosen is not None:
                own = chosen[first + start : first + stop]
                if not own.any():
                    continue
                if not own.all():
                    block, lengths, rows = block[own], lengths[own], rows[own]
            yield block, lengths, rows + first, slack
        first += len(part.vectors)


def _hits(
    scores: NDArray[np.float32], limits: NDArray[np.float32], margin: np.float32, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row in the block and query of every score that may belong to the best.

    Scores that rise from block to block, or very many queries, would let most of a block through.
    What lies twice the margin below the block's own k-th best cannot be among the best of it.
    """
    flat = np.flatnonzero(scores >= limits - margin)
    if len(flat) > CROWDED * k * scores.shape[1] and len(scores) > k:
        own = np.partition(scores, len(scores) - k, axis=0)[len(scores) - k]
        flat = np.flatnonzero(scores >= np.maximum(limits - margin, own - 2 * margin))
    places, queries = np.divmod(flat, scores.shape[1])
    return places, queries


def _exact(
    wide: NDArray[np.float64],
    sizes: NDArray[np.float64],
    queries: NDArray[np.int64],
    block: NDArray[np.float32],
    places: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the cosines of H pairs of query and row; each is added up in the same order."""
    scores = np.empty(len(places), np.float32)
    for start in range(0, len(places), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        rows, asked = block[places[pairs]].astype(np.float64), queries[pairs]
        lengths = np.sqrt((rows * rows).sum(axis=1))
        products = (rows * wide[asked]).sum(axis=1)
        scores[pairs] = products / (sizes[asked] * np.where(lengths > 0, lengths, 1))
    return scores
