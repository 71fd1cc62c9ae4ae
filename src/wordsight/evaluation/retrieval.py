"""Which sentence belongs to a picture, and which picture to a sentence.

Shape letters: I pictures, T sentences, Q queries, G gallery items, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import DataError
from wordsight.evaluation.results import Prediction
from wordsight.metrics import Estimate, both_directions

RECALL_AT = (1, 5, 10)
SHOWN = 5
_CHUNK = 256
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one direction."""

    recall: dict[int, Estimate]
    predictions: list[Prediction]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Vectors and what people call them."""

    rows: NDArray[np.float32]
    """(N, E)"""
    names: Sequence[str]


def retrieve(
    images: Named, texts: Named, image_of_text: NDArray[np.int64], *, seed: int = 0
) -> tuple[Found, Found]:
    """Look for the sentences of each picture, and for the picture of each sentence.

    Args:
        images: (I, E) pictures; each has a sentence at least.
        texts: (T, E) sentences.
        image_of_text: (T,) row of the picture of each sentence.
        seed: of the bootstrap over pictures.

    Raises:
        DataError: if there are fewer than two pictures.
    """
    ks = [k for k in RECALL_AT if k < min(len(images.names), len(texts.names))]
    if not ks:
        raise DataError(
            f"{len(images.names)} pictures and {len(texts.names)} sentences: nothing to look among"
        )
    of_texts, of_images = both_directions(images.rows, texts.rows, image_of_text, ks, seed=seed)
    own: list[list[int]] = [[] for _ in images.names]
    image_of: list[int] = image_of_text.tolist()
    for text, image in enumerate(image_of):
        own[image].append(text)
    single = [[image] for image in image_of]
    return (
        Found(of_texts, _predictions(images, texts, own)),
        Found(of_images, _predictions(texts, images, single)),
    )


def _predictions(
    queries: Named, gallery: Named, right: Sequence[Sequence[int]]
) -> list[Prediction]:
    found: list[Prediction] = []
    for start in range(0, len(queries.names), _CHUNK):
        scores = queries.rows[start : start + _CHUNK] @ gallery.rows.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
        for row, line in enumerate(scores):
            query = start + row
            top: list[int] = best[row].tolist()
            found.append(
                Prediction(
                    key=queries.names[query],
                    truth=tuple(gallery.names[i] for i in right[query]),
                    guess=gallery.names[top[0]],
                    scores={gallery.names[i]: round(float(line[i]), 6) for i in top},
                    rank=_rank(line, right[query]),
                )
            )
    return found


def _rank(scores: NDArray[np.float32], right: Sequence[int]) -> float:
    """Return the place of the best right item, from 1; among equal scores the middle."""
    own = scores[list(right)].max()
    better = int((scores > own + _TIE).sum())
    tied = int((np.abs(scores - own) <= _TIE).sum())
    return 1 + better + (tied - 1) / 2
