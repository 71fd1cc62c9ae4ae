"""Which pictures and sentences belong together, when several share one.

Contrastive losses treat everything off the diagonal as negative. That is wrong when a picture has
five sentences, or when "a scratch" describes a hundred pictures; this relation says what is true.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.data.pairs import Pairs


def sentence_key(text: str) -> str:
    """Return what two sentences share if they differ only in blanks and letter case."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True, slots=True, eq=False)
class Positives:
    """The relation between unique pictures and unique sentences; P pairs."""

    image_of_pair: NDArray[np.int64]
    """(P,) index into the `images` of the pairs."""
    text_of_pair: NDArray[np.int64]
    """(P,) index into `texts`."""
    texts: tuple[str, ...]
    """Unique sentences, in the spelling and the order of their first pair."""
    num_images: int
    starts: NDArray[np.int64]
    """(num_images + 1,) where the sentences of each picture begin in `linked`."""
    linked: NDArray[np.int64]
    """(L,) the sentences of picture 0, then those of picture 1, and so on."""

    def block(self, image_indices: ArrayLike, text_indices: ArrayLike) -> NDArray[np.bool_]:
        """Return (n, m): True where some pair links the picture to the sentence.

        A sentence shared by two pictures is positive for both; all sentences of a picture are
        positive for it. Indices may repeat. Cost: the size of the answer, plus the number of
        sentences these pictures have times log m.
        """
        images = np.asarray(image_indices, dtype=np.int64)  # (n,)
        texts = np.asarray(text_indices, dtype=np.int64)  # (m,)
        block = np.zeros((len(images), len(texts)), dtype=np.bool_)
        counts = self.starts[images + 1] - self.starts[images]  # (n,)
        rows = np.repeat(np.arange(len(images)), counts)  # (k,) one per (picture, its sentence)
        wanted = self.linked[_ranges(self.starts[images], counts)]  # (k,)
        order = np.argsort(texts, kind="stable")
        first = np.searchsorted(texts, wanted, side="left", sorter=order)
        repeats = np.searchsorted(texts, wanted, side="right", sorter=order) - first
        block[np.repeat(rows, repeats), order[_ranges(first, repeats)]] = True
        return block


def find_positives(pairs: Pairs) -> Positives:
    """Number the unique pictures and sentences of some pairs, and record which belong together.

    Pictures are told apart by their path, sentences by `sentence_key`.
    """
    image_index = {image: i for i, image in enumerate(pairs.images)}
    text_index: dict[str, int] = {}
    spellings: list[str] = []
    texts: list[int] = []
    for pair in pairs:
        key = sentence_key(pair.text)
        if key not in text_index:
            text_index[key] = len(text_index)
            spellings.append(pair.text)
        texts.append(text_index[key])
    image_of_pair = np.array([image_index[pair.image] for pair in pairs], dtype=np.int64)
    text_of_pair = np.array(texts, dtype=np.int64)
    links = np.unique(image_of_pair * max(len(spellings), 1) + text_of_pair)
    image_of_link, linked = np.divmod(links, max(len(spellings), 1))
    counts = np.bincount(image_of_link, minlength=len(image_index))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Positives(
        image_of_pair=image_of_pair,
        text_of_pair=text_of_pair,
        texts=tuple(spellings),
        num_images=len(image_index),
        starts=starts,
        linked=linked,
    )


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate start..start+count-1 of every start."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)
