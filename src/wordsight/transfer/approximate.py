"""An approximate index: a graph that finds most of the nearest vectors without looking at all.

Shape letters: Q queries, N vectors, E embedding width, K places.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.data.kept_arrays import KeptArrays
from wordsight.errors import BusyError, InputError
from wordsight.metrics import Estimate
from wordsight.metrics.estimate import wilson_of_share
from wordsight.packages import require
from wordsight.transfer.cosines import checked_queries, row_cosines
from wordsight.transfer.exact_search import greatest_cosines
from wordsight.transfer.found import Found
from wordsight.transfer.part import Part

NAME = "graph"
CANDIDATES = 4
"""Times as many are taken from the graph as asked for; their true cosines decide."""
EXPANSION = 64
"""Vectors that a search of the graph keeps in view, at least."""
SAMPLE = 200


class ApproximateIndex:
    """Most of the nearest vectors, in a time that hardly grows with their number.

    A graph of near neighbours (HNSW; Malkov and Yashunin, 2016, arXiv:1603.09320) over the vectors
    in bfloat16, by usearch. Scores are true cosines; what may lack is one of the best. Building
    takes minutes for every 100,000 vectors, so it pays for very many single queries over many
    vectors; for a few queries, and for queries by the dozen, the exact search is as fast. Where
    vectors form no clusters it may find only a few of the nearest: look at `recall`.

        fast = index.approximate()
        print(fast.recall())
        fast.search(queries, k=10)

    Get one from `Index.approximate`; it does not follow what the index adds or removes later.
    """

    def __init__(self, part: Part, keys: Sequence[Hashable]):
        """Build the graph over the vectors of a part, or take the one that was kept with them.

        Raises:
            MissingError: if usearch is not installed.
        """
        self._part, self._keys = part, list(keys)
        self._vectors = part.rows.vectors
        self._graph = _graph(self._vectors, part.kept)

    def search(self, queries: NDArray[np.floating], k: int = 10) -> Found:
        """Return k vectors with great cosines to each query, best first.

        Args:
            queries: (Q, E), of any length above 0.
            k: at least 1.

        Raises:
            InputError: for queries that do not fit, or k below 1.
        """
        rows, scores = self._nearest(queries, k)
        return Found.of(rows, scores, self._keys)

    def _nearest(
        self, queries: NDArray[np.floating], k: int
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.float32]]:
        num_rows, width = self._vectors.shape
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        k = min(k, num_rows)
        num_candidates = min(CANDIDATES * k, num_rows)
        self._graph.expansion_search = max(EXPANSION, num_candidates)
        rows: list[NDArray[np.int64]] = []
        scores = np.empty((len(queries), k), np.float32)
        for number, query in enumerate(checked_queries(queries, width)):
            near = self._graph.search(query.astype(np.float32), num_candidates).keys
            found = np.sort(near.astype(np.int64))
            cosines = row_cosines(query[None], self._vectors[found])[:, 0]
            order = np.argsort(-cosines, kind="stable")[:k]
            rows.append(found[order])
            scores[number] = cosines[order]
        return rows, scores

    def recall(
        self, queries: NDArray[np.floating] | None = None, *, k: int = 10, seed: int = 0
    ) -> Estimate:
        """Measure which share of the k nearest it finds, against the exact search.

        Args:
            queries: (Q, E) such as will be asked; 200 of the vectors themselves if not given, which
                are found more easily than sentences are.
            k: how many of the nearest count.
            seed: which vectors are drawn.

        Raises:
            InputError: for queries that do not fit, or k below 1.
        """
        if queries is None:
            count = min(SAMPLE, len(self._vectors))
            drawn = np.random.default_rng(seed).choice(len(self._vectors), count, replace=False)
            queries = self._vectors[np.sort(drawn)]
        right, _ = greatest_cosines(queries, [self._part], min(k, len(self._vectors)))
        own, _ = self._nearest(queries, k)
        shares = [
            len({*found.tolist()} & {*best.tolist()}) / len(best)
            for found, best in zip(own, right, strict=True)
        ]
        return wilson_of_share(float(np.mean(shares)), len(shares))


def _graph(vectors: NDArray[np.float32], kept: KeptArrays | None) -> Any:
    """Return a graph over vectors (N, E): the one that was kept with them, or a new one.

    Raises:
        MissingError: if usearch is not installed.
    """
    usearch = require("usearch.index", extra="approximate")
    found = kept.find(NAME) if kept else None
    if found is None:
        graph = usearch.Index(ndim=vectors.shape[1], metric="cos", dtype="bf16")
        graph.add(np.arange(len(vectors)), vectors)
        if kept is None:
            return graph
        content = np.frombuffer(graph.save(), np.uint8)[:, None]
        try:
            found = kept.keep(NAME, _pieces(content), shape=(len(content), 1))
        except (OSError, BusyError):
            found = None
        if found is None:
            return graph
    return usearch.Index.restore(found[0].tobytes())


def _pieces(content: NDArray[np.uint8], size: int = 1 << 24) -> Sequence[NDArray[np.uint8]]:
    return [content[start : start + size] for start in range(0, len(content), size)]
