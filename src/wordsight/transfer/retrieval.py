"""Find pictures by words, by pictures, or by both; and measure how well that works.

Shape letters: Q queries, G gallery items, E joint space, I pictures, T captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.model import Model, Progress
from wordsight.errors import InputError
from wordsight.images import ImageSource
from wordsight.metrics import Estimate, both_directions
from wordsight.transfer.composed import Query, embed_queries
from wordsight.transfer.ranking import Ranking, nearest

PAPER_PREFIX = "a photo of"
"""Before every caption in the paper's retrieval (Radford et al., 2021, appendix E)."""


def find_pictures(
    model: Model,
    gallery: NDArray[np.floating],
    queries: Sequence[str | Query],
    k: int,
    *,
    exclude: NDArray[np.integer] | None = None,
) -> Ranking:
    """Return the k pictures of a gallery that answer each query best, best first.

        gallery = model.encode_image(files)
        found = find_pictures(model, gallery, ["a red car", Query.image("car.jpg")], 10)
        [files[place] for place in found.places[0]]

    Args:
        model: encoded the gallery; encodes the queries.
        gallery: embeddings of pictures (G, E), or of sentences: both are found the same way.
        queries: sentences, and sums of sentences and pictures.
        k: how many; at most G.
        exclude: for each query (Q,) a row that must not be found, such as the picture itself.

    Raises:
        InputError: as `nearest` and `embed_queries`.
    """
    return nearest(embed_queries(model, queries), gallery, k, exclude=exclude)


@dataclass(frozen=True, slots=True)
class RetrievalRecall:
    """Recall at several k, by k, in both directions."""

    texts: dict[int, Estimate]
    """Pictures look for their captions: any of them is a hit."""
    images: dict[int, Estimate]
    """Captions look for their picture."""


def retrieval_recall(
    model: Model,
    images: Sequence[ImageSource],
    captions: Sequence[Sequence[str]],
    *,
    ks: Sequence[int] = (1, 5, 10),
    prefix: str = PAPER_PREFIX,
    seed: int = 0,
    progress: Progress | None = None,
) -> RetrievalRecall:
    """Measure recall at k of captions by picture, and of pictures by caption.

    Ties count as chance would have it, and the captions of one picture are drawn together for the
    interval; see `metrics.both_directions`.

    Args:
        model: what `wordsight.load` returns.
        images: I pictures.
        captions: for each picture its captions, one or more.
        ks: how many of the best are looked at.
        prefix: put before every caption, with a space; "" for none.
        seed: of the intervals.
        progress: called with the number of pictures done and of all.

    Raises:
        InputError: if there is not a list of captions for every picture, one is empty, or a k is
            not less than the number of pictures and of captions.
        ImageError: if a picture cannot be used.
        TextError: if a caption cannot be used.
    """
    if len(images) != len(captions):
        raise InputError(f"{len(captions)} lists of captions for {len(images)} pictures")
    for place, own in enumerate(captions):
        if isinstance(own, str) or not own:
            raise InputError(f"picture {place}: captions are {own!r}; expected a list, not empty")
    image_of_text = np.repeat(np.arange(len(images)), [len(own) for own in captions])
    sentences = [f"{prefix} {text}".strip() for own in captions for text in own]
    pictures = model.encode_image(images, progress=progress)
    found = both_directions(pictures, model.encode_text(sentences), image_of_text, ks, seed=seed)
    return RetrievalRecall(*found)
