"""The best k of a gallery for each query: exact, in tiles, and the same for any size of tile.

Shape letters: Q queries, G gallery items, E embedding width, K places.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError

_QUERIES = 256
"""Rows of queries at once, at most."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best of a gallery, best first."""

    places: NDArray[np.int64]
    """(Q, K) rows of the gallery."""
    scores: NDArray[np.float32]
    """(Q, K) dot products, cosines for unit rows."""


def nearest(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    k: int,
    *,
    exclude: NDArray[np.integer] | None = None,
    max_scores: int = 1 << 22,
) -> Ranking:
    """Return the k gallery items with the greatest dot product; of equals the first come first.

    Products are computed in float64 and rounded to float32: two pictures with the same vector then
    have the same score wherever they stand, which they have not in float32 (BLAS adds up the last
    rows of a matrix in another order). Memory grows with the gallery only by its own size.

    Args:
        queries: (Q, E).
        gallery: (G, E).
        k: at least 1, and not more than the gallery holds.
        exclude: for each query (Q,) a row of the gallery that must not be found, such as its own;
            -1 for none.
        max_scores: how many are held at once; the result does not depend on it.

    Raises:
        InputError: for shapes that do not fit, numbers that are not finite, or too great a k.
    """
    _check(queries, gallery, k, exclude)
    places = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    step = max(1, min(_QUERIES, max_scores))
    for start in range(0, len(queries), step):
        tile = slice(start, start + step)
        own = None if exclude is None else exclude[tile]
        found = _best_of_all(queries[tile], gallery, k, own, items_at_once=max_scores // step)
        places[tile], scores[tile] = found
    return Ranking(places, scores)


def _best_of_all(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    k: int,
    exclude: NDArray[np.integer] | None,
    *,
    items_at_once: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows = queries.astype(np.float64)
    places = np.zeros((len(rows), 0), np.int64)
    scores = np.zeros((len(rows), 0), np.float32)
    for start in range(0, len(gallery), items_at_once):
        items = gallery[start : start + items_at_once].astype(np.float64)
        found = (rows @ items.T).astype(np.float32)
        if exclude is not None:
            inside = np.flatnonzero((exclude >= start) & (exclude < start + len(items)))
            found[inside, exclude[inside] - start] = -np.inf
        own = _best_columns(found, min(k, len(items)))
        places = np.hstack([places, own + start])
        scores = np.hstack([scores, np.take_along_axis(found, own, axis=1)])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        places = np.take_along_axis(places, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
    return places, scores


def _best_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the k best columns of each row in rising order: of equals, the first."""
    worst = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    best = np.empty((len(scores), k), np.int64)
    for row, limit in enumerate(worst):
        above = np.flatnonzero(scores[row] > limit)
        level = np.flatnonzero(scores[row] == limit)[: k - len(above)]
        best[row] = np.sort(np.concatenate([above, level]))
    return best


def _check(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    k: int,
    exclude: NDArray[np.integer] | None,
) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise InputError(
            f"expected embeddings of one width, got shapes {queries.shape} and {gallery.shape}"
        )
    for name, rows in (("queries", queries), ("gallery", gallery)):
        if not np.isfinite(rows).all():
            raise InputError(f"{name} hold numbers that are not finite")
    most = len(gallery) - (exclude is not None)
    if not 1 <= k <= most:
        raise InputError(f"k is {k}; expected 1 to {most}, what can be found")
    if exclude is not None and (
        exclude.shape != queries.shape[:1]
        or (exclude < -1).any()
        or (exclude >= len(gallery)).any()
    ):
        raise InputError(f"exclude must hold {len(queries)} rows of the gallery, or -1 for none")
