"""The greatest cosines of a large matrix: scans that leave nothing out, checked exactly.

Shape letters: Q queries, N rows, E embedding width, K places, B rows of one block, H hits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.transfer.bfloat16_scan import FEWEST_QUERIES, Questions
from wordsight.transfer.cosines import checked_queries, pair_cosines, row_cosines
from wordsight.transfer.part import Part
from wordsight.transfer.rows import Block

QUERIES_AT_ONCE = 256
FEW_QUERIES = 2
CROWDED = 32
"""Hits for each place, above which a block is cut to its own best before they are checked."""
FEW_PAIRS = 0.01
"""Share of a block's pairs up to which checking them one by one beats multiplying their rows."""
UNIT_ROUNDING = 2.0**-24


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
    parts: Sequence[Part],
    k: int,
    *,
    chosen: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k rows with the greatest cosine, and it; of equal cosines the first row wins.

    The scan multiplies in bfloat16 where a part has a copy of that kind, and the rows that this
    leaves, or else all, in float32. A float32 sum of E products of unit vectors is wrong by no more
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
    wide = checked_queries(queries, parts[0].rows.vectors.shape[1])
    places = np.empty((len(wide), k), np.int64)
    scores = np.empty((len(wide), k), np.float32)
    for start in range(0, len(wide) if k else 0, QUERIES_AT_ONCE):
        tile = slice(start, start + QUERIES_AT_ONCE)
        best = _Scan(wide[tile], k).run(parts, chosen)
        places[tile] = best.row.reshape(-1, k)
        scores[tile] = best.score.reshape(-1, k)
    return places, scores


class _Scan:
    """One pass over all rows for some queries."""

    def __init__(self, wide: NDArray[np.float64], k: int):
        self.wide, self.k = wide, k
        self.sizes = np.linalg.norm(wide, axis=1)
        self.columns = (wide / self.sizes[:, None]).astype(np.float32).T
        self.questions: Questions | None = None

    def run(self, parts: Sequence[Part], chosen: NDArray[np.bool_] | None) -> _Best:
        """Return the best rows of all parts."""
        best = _Best(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        limits = best.limits(len(self.wide), self.k)
        if len(self.wide) >= FEWEST_QUERIES and any(part.rounded for part in parts):
            self.questions = Questions(self.wide / self.sizes[:, None])
        for first, part, block in _blocks(parts, chosen):
            places, queries = self._hits(part, block, limits)
            if not len(places):
                continue
            if len(places) <= self._few(block):
                exact = pair_cosines(self.wide, queries, block.vectors, places)
            else:
                places, queries, exact = self._crowd(block, places, limits)
            best = best.merged(_Best(queries, block.rows()[places] + first, exact), self.k)
            limits = best.limits(len(self.wide), self.k)
        return best

    def _hits(
        self, part: Part, block: Block, limits: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row in the block and query of every pair that may belong to the best."""
        crowded = CROWDED * self.k * len(limits)
        if part.rounded is None or self.questions is None:
            return self._float32_hits(part, block, limits, crowded)
        places, queries = self.questions.hits(block, part.rounded, limits, self.k, crowded)
        if len(places) <= self._few(block):
            return places, queries
        some = np.unique(places)
        if len(some) > len(block.vectors) // 2:  # vectors too much alike for bfloat16
            self.questions = None
        places, queries = self._float32_hits(part, block.some(some), limits, crowded)
        return some[places], queries

    def _few(self, block: Block) -> float:
        return max(FEW_PAIRS * len(block.vectors), 1) * len(self.wide)

    def _crowd(
        self, block: Block, places: NDArray[np.int64], limits: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Score rows that float32 cannot tell apart; leave out what others of them beat.

        A row that only equals the limit comes after the rows that made it.
        """
        some = np.unique(places)
        scores = row_cosines(self.wide, block.vectors[some])
        is_hit = scores > limits
        if len(some) > self.k:
            own = np.partition(scores, len(some) - self.k, axis=0)[len(some) - self.k]
            is_hit &= scores >= own
        rows, queries = np.nonzero(is_hit)
        return some[rows], queries, scores[rows, queries]

    def _float32_hits(
        self, part: Part, block: Block, limits: NDArray[np.float32], crowded: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Do the same in float32.

        Scores that rise from block to block, or very many queries, would let most of a block
        through. What lies twice the margin below the block's own k-th best cannot be among the
        best of it.
        """
        slack, k = part.rows.slack, self.k
        scores = _products(block.vectors, self.columns)
        if slack is None:
            scores /= block.lengths[:, None]
        margin = np.float32(_error(block.vectors.shape[1]) + (slack or 0.0))
        flat = np.flatnonzero(scores >= limits - margin)
        if len(flat) > crowded and len(scores) > k:
            own = np.partition(scores, len(scores) - k, axis=0)[len(scores) - k]
            flat = np.flatnonzero(scores >= np.maximum(limits - margin, own - 2 * margin))
        places, queries = np.divmod(flat, scores.shape[1])
        return places, queries


def _blocks(
    parts: Sequence[Part], chosen: NDArray[np.bool_] | None
) -> Iterator[tuple[int, Part, Block]]:
    first = 0
    for part in parts:
        stop = first + len(part.rows.vectors)
        for block in part.rows.blocks(None if chosen is None else chosen[first:stop]):
            yield first, part, block
        first = stop


def _products(block: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply rows (B, E) by columns (E, Q).

    One query is a matter of reading, which einsum does at twice the speed of OpenBLAS.
    """
    if columns.shape[1] > FEW_QUERIES:
        return block @ columns
    each = [np.einsum("be,e->b", block, column) for column in columns.T]
    return np.stack(each, axis=1)


def _error(width: int) -> float:
    """Bound the error of a float32 cosine: of the product, the length, query and result."""
    return (1.5 * width + 16) * UNIT_ROUNDING
