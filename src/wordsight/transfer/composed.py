"""Queries made of pictures and sentences: this picture, but at night and not by day.

Shape letters: Q queries, E joint space.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.images import ImageSource

_LEAST_LENGTH = 1e-6
_Source = TypeVar("_Source")


@dataclass(frozen=True, slots=True)
class Term:
    """One sentence or picture, and what it counts."""

    weight: float
    text: str | None = None
    image: ImageSource | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of sentences and pictures, written as one:

        Query.image("street.jpg") + Query.text("at night") - Query.text("by day")
        0.7 * Query.text("a scratch") + 0.3 * Query.image("scratch.png")

    Vectors of sentences and of pictures keep to two far-apart regions of the space (Liang et al.,
    2022, arXiv:2203.02053), so a sentence alone also moves a picture towards all sentences. The
    difference of two sentences does not: give what it should be and what it should not be.
    """

    terms: tuple[Term, ...]

    @classmethod
    def text(cls, sentence: str) -> "Query":
        """Ask for what a sentence says."""
        return cls((Term(1.0, text=sentence),))

    @classmethod
    def image(cls, picture: ImageSource) -> "Query":
        """Ask for what a picture shows."""
        return cls((Term(1.0, image=picture),))

    def __add__(self, other: "Query") -> "Query":
        return Query(self.terms + other.terms)

    def __sub__(self, other: "Query") -> "Query":
        return self + -1.0 * other

    def __rmul__(self, weight: float) -> "Query":
        return Query(
            tuple(Term(weight * term.weight, term.text, term.image) for term in self.terms)
        )


def embed_queries(model: Model, queries: Sequence[str | Query]) -> NDArray[np.float32]:
    """Embed queries as unit rows (Q, E): the weighted sum of unit vectors, to unit length.

    A sentence or picture file is encoded once, however many queries use it.

    Args:
        model: what `wordsight.load` returns.
        queries: sentences, and sums of sentences and pictures.

    Raises:
        InputError: if the terms of a query cancel out.
        ImageError: if a picture cannot be used.
        TextError: if a sentence cannot be used.
    """
    if isinstance(queries, (str, Query)):
        raise InputError("expected a list of queries, got one", hint="write [query]")
    asked = [Query.text(query) if isinstance(query, str) else query for query in queries]
    terms = [(row, term) for row, query in enumerate(asked) for term in query.terms]
    totals = np.zeros((len(asked), model.embed_dim))
    texts = [(row, term.weight, term.text) for row, term in terms if term.text is not None]
    pictures = [(row, term.weight, term.image) for row, term in terms if term.image is not None]
    _add(totals, texts, model.encode_text)
    _add(totals, pictures, model.encode_image)
    lengths = np.linalg.norm(totals, axis=1, keepdims=True)
    if (lengths < _LEAST_LENGTH).any():
        row = int(np.flatnonzero(lengths < _LEAST_LENGTH)[0])
        raise InputError(f"query {row}: its terms cancel out, which leaves nothing to look for")
    return (totals / lengths).astype(np.float32)


def _add(
    totals: NDArray[np.float64],
    terms: Sequence[tuple[int, float, _Source]],
    encode: Callable[[Sequence[_Source]], NDArray[np.float32]],
) -> None:
    """Add weight * vector to the rows of `totals` (Q, E), and encode equal sources once."""
    if not terms:
        return
    distinct = {_key(source): source for _, _, source in terms}
    places = {key: place for place, key in enumerate(distinct)}
    vectors = encode(list(distinct.values()))
    for row, weight, source in terms:
        totals[row] += weight * vectors[places[_key(source)]]


def _key(source: object) -> object:
    return source if isinstance(source, (str, bytes, Path)) else id(source)
