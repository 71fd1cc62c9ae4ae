"""Cosines as a search returns them: computed in float64, rounded to float32 at the end.

Whichever function computes it, a pair has one score: that of adding up float64 products in the
order of the numbers.

Shape letters: Q queries, E embedding width, H pairs, R rows.
"""

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

PAIRS_AT_ONCE = 4096
UNIT_ROUNDING = 2.0**-53


def checked_queries(queries: NDArray[np.floating], width: int) -> NDArray[np.float64]:
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


def pair_cosines(
    wide: NDArray[np.float64],
    queries: NDArray[np.int64],
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the cosine of each pair of a query and a vector.

    Args:
        wide: (Q, E), as `checked_queries` returns them.
        queries: (H,), which query.
        vectors: of which `places` are looked at.
        places: (H,), which vector.
    """
    sizes = np.linalg.norm(wide, axis=1)
    scores = np.empty(len(places), np.float32)
    for start in range(0, len(places), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        rows, asked = vectors[places[pairs]].astype(np.float64), queries[pairs]
        lengths = np.sqrt((rows * rows).sum(axis=1))
        products = (rows * wide[asked]).sum(axis=1)
        scores[pairs] = products / (sizes[asked] * np.where(lengths > 0, lengths, 1))
    return scores


def row_cosines(wide: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosines of all queries with all vectors (R, E), as (R, Q).

    A matrix product adds up in an order of its own, which changes the last of 53 bits. Where that
    could change how a score is rounded to 24 bits, about once in 100,000, the pair is done again.
    """
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    lengths[lengths == 0] = 1
    cosines = rows @ wide.T / (lengths[:, None] * np.linalg.norm(wide, axis=1))
    error = (4 * vectors.shape[1] + 64) * UNIT_ROUNDING
    scores = (cosines - error).astype(np.float32)
    places, queries = np.nonzero(scores != (cosines + error).astype(np.float32))
    scores[places, queries] = pair_cosines(wide, queries, vectors, places)
    return scores
