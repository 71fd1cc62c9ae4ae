"""Is what was looked for among the best k: pictures by text, text by picture, pictures by picture.

Shape letters: Q queries, G gallery items, E embedding width.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import InputError
from wordsight.metrics.checks import Labels, finite
from wordsight.metrics.estimate import Estimate, wilson
from wordsight.metrics.resampling import bootstrap

_CHUNK_SCORES = 1 << 22
_TIE = 1e-6

Similarity: TypeAlias = NDArray[np.floating] | tuple[NDArray[np.floating], NDArray[np.floating]]


def positives_by_id(query_ids: Labels, gallery_ids: Labels) -> list[NDArray[np.int64]]:
    """Return, for each query, the gallery columns that have the same id.

    Raises:
        InputError: if a query has no match in the gallery; it could never be found.
    """
    columns: dict[Any, list[int]] = {}
    for column, name in enumerate(gallery_ids):
        columns.setdefault(name, []).append(column)
    for row, name in enumerate(query_ids):
        if name not in columns:
            raise InputError(f"query {row} has id {name!r}, which nothing in the gallery has")
    return [np.asarray(columns[name], dtype=np.int64) for name in query_ids]


def hits_at_k(
    similarity: Similarity, positives: Sequence[Sequence[int] | NDArray[np.int64]], k: int
) -> NDArray[np.float64]:
    """Return, for each query, the chance that one of its positives is among its k best; (Q,).

    Equal scores stand in random order, so a query whose k-th place is shared has a hit between
    0 and 1: a space that gives everything the same score gets chance, not 100 %.

    Args:
        similarity: (Q, G) scores, or a pair of embeddings (Q, E) and (G, E). A pair is multiplied
            a few rows at a time, and scores that differ by rounding only count as equal.
        positives: for each query the gallery columns that answer it; one at least.
        k: how many of the best are looked at; at most G - 1, because all G always hold the answer.

    Raises:
        InputError: for NaN or infinity, shapes that do not fit, a query without positives, or a k
            that is not within 1..G-1.
    """
    return _hits(similarity, positives, (k,))[0]


def recall_at_k(
    similarity: Similarity,
    positives: Sequence[Sequence[int] | NDArray[np.int64]],
    k: int,
    *,
    seed: int = 0,
    groups: Labels | None = None,
) -> Estimate:
    """Return the share of queries with a positive among their k best; arguments as `hits_at_k`.

    The interval is Wilson's while every query is a clear hit or miss, and a bootstrap seeded by
    `seed` when ties make some of them fractions, or when `groups` says which queries (Q,) belong
    together, as the five captions of one picture do.

    Raises:
        InputError: as `hits_at_k` and `bootstrap`.
    """
    return _share(hits_at_k(similarity, positives, k), seed, groups)


def recalls_at(
    similarity: Similarity,
    positives: Sequence[Sequence[int] | NDArray[np.int64]],
    ks: Sequence[int],
    *,
    seed: int = 0,
    groups: Labels | None = None,
) -> dict[int, Estimate]:
    """Return recall at several k at once: the similarities are computed only once.

    Raises:
        InputError: as `recall_at_k`.
    """
    hits = _hits(similarity, positives, ks)
    return {k: _share(row, seed, groups) for k, row in zip(ks, hits, strict=True)}


def both_directions(
    images: NDArray[np.floating],
    texts: NDArray[np.floating],
    image_of_text: NDArray[np.int64],
    ks: Sequence[int] = (1, 5, 10),
    *,
    seed: int = 0,
) -> tuple[dict[int, Estimate], dict[int, Estimate]]:
    """Return recall at each k of texts found by picture, and of pictures found by text.

    A picture may have several texts: any of them counts when texts are looked for, and each of
    them looks for it on its own. The texts of one picture then are drawn together.

    Args:
        images: (I, E), one row a picture; each must have a text.
        texts: (T, E), one row a text.
        image_of_text: (T,) row of the picture that each text belongs to.
        ks: how many of the best are looked at.
        seed: of the bootstrap.

    Raises:
        InputError: as `recall_at_k`, and if a picture has no text.
    """
    rows = np.arange(len(images))
    of_texts = recalls_at((images, texts), positives_by_id(rows, image_of_text), ks, seed=seed)
    several = len(np.unique(image_of_text)) < len(image_of_text)
    of_images = recalls_at(
        (texts, images),
        positives_by_id(image_of_text, rows),
        ks,
        seed=seed,
        groups=image_of_text if several else None,
    )
    return of_texts, of_images


def _share(hits: NDArray[np.float64], seed: int, groups: Labels | None) -> Estimate:
    if groups is None and bool(np.isin(hits, (0.0, 1.0)).all()):
        return wilson(int(hits.sum()), len(hits))
    return bootstrap(hits, lambda sample: float(sample.mean()), seed=seed, groups=groups)


def _hits(
    similarity: Similarity,
    positives: Sequence[Sequence[int] | NDArray[np.int64]],
    ks: Sequence[int],
) -> NDArray[np.float64]:
    """Return hits for each k, (K, Q)."""
    queries, gallery = _query_and_gallery(similarity)
    rows, columns = len(queries), gallery.shape[0] if gallery is not None else queries.shape[1]
    for k in ks:
        if not 1 <= k < columns:
            raise InputError(
                f"k must be within 1..{columns - 1}, got {k}",
                hint=f"the best {k} of {columns} would always hold the answer" if k > 0 else "",
            )
    _check_positives(positives, rows, columns)
    tie = 0.0
    if gallery is not None:
        longest = [float(np.linalg.norm(side, axis=1).max()) for side in (queries, gallery)]
        tie = _TIE * longest[0] * longest[1]
    step = max(1, _CHUNK_SCORES // columns)
    hits = np.empty((len(ks), rows))
    for start in range(0, rows, step):
        scores = queries[start : start + step]
        if gallery is not None:
            scores = scores @ gallery.T
        is_positive = np.zeros(scores.shape, dtype=bool)
        for row, own in enumerate(positives[start : start + step]):
            is_positive[row, np.asarray(own)] = True
        standing = _standing(scores, is_positive, tie)
        for place, k in enumerate(ks):
            hits[place, start : start + step] = _hit_chance(standing, k)
    return hits


def _query_and_gallery(similarity: Similarity) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if not isinstance(similarity, tuple):
        if similarity.ndim != 2 or not similarity.size:
            raise InputError(f"expected (queries, gallery) scores, got shape {similarity.shape}")
        return finite(similarity, "similarity"), None
    queries, gallery = similarity
    shapes = f"{queries.shape} and {gallery.shape}"
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise InputError(f"expected embeddings of one width, got shapes {shapes}")
    if not queries.size or not gallery.size:
        raise InputError(f"expected queries and a gallery, got shapes {shapes}")
    return finite(queries, "queries"), finite(gallery, "gallery")


def _check_positives(positives: Sequence[Any], rows: int, columns: int) -> None:
    if len(positives) != rows:
        raise InputError(f"{len(positives)} lists of positives for {rows} queries")
    for row, own in enumerate(positives):
        if not len(own):
            raise InputError(f"query {row} has no positives")
        if min(own) < 0 or max(own) >= columns:
            raise InputError(f"query {row}: positives must be columns within 0..{columns - 1}")


def _standing(
    scores: NDArray[Any], is_positive: NDArray[np.bool_], tie: float
) -> NDArray[np.int64]:
    """Return (3, Q): items above the best positive, items level with it, positives among these."""
    best = np.where(is_positive, scores, -np.inf).max(axis=1, keepdims=True)
    is_tied = np.abs(scores - best) <= tie
    above = (scores > best + tie).sum(axis=1)
    return np.stack([above, is_tied.sum(axis=1), (is_tied & is_positive).sum(axis=1)])


def _hit_chance(standing: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Hypergeometric: the places left after the better items are drawn from the tied ones."""
    above, tied, right = standing
    places = np.clip(k - above, 0, tied)
    miss = np.ones(len(tied))
    for drawn in range(int(places.max())):
        left = np.maximum(tied - drawn, 1)
        miss *= np.where(drawn < places, np.maximum(tied - right - drawn, 0) / left, 1.0)
    return 1.0 - miss
