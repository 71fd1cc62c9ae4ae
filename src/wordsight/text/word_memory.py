"""The ids of words that were met before: captions repeat a few thousand of them.

A sentence whose tokens never reach across a space has the ids of its words one after the other.
Ids are kept as bytes, so that those of many sentences are joined and read as one array; what is
done in Python for a word is one look-up.
"""

from collections.abc import Callable, Generator, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

MAX_WORDS = 50_000
MAX_WORD_CHARACTERS = 40
CHARACTERS_AT_ONCE = 1 << 16  # words of more sentences would fall out of the processor's cache

_BORDER = "\0"
_BORDER_ID = -1


class WordMemory:
    """Up to 50000 words of up to 40 characters, for any number of threads."""

    def __init__(self, cut: Callable[[str], list[int]]):
        """Remember what `cut` returns for a word; it must return the same each time."""
        self._cut = cut
        self._lock = Lock()
        self._border = np.array([_BORDER_ID], np.int64).tobytes()
        self._words = {_BORDER: self._border}

    @property
    def words(self) -> frozenset[str]:
        """The words that are remembered now."""
        return frozenset(self._words) - {_BORDER}

    def ids(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of all texts in a row, and how many of them each text has.

        Args:
            texts: without NUL, which stands between texts here.

        Raises:
            TextError: if `cut` fails on a word.
        """
        flat: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.int64]] = []
        for portion in _portions(texts):
            words = f" {_BORDER} ".join(portion).split(" ")
            ids = np.frombuffer(self._joined(words) + self._border, np.int64)
            is_border = ids == _BORDER_ID
            borders = np.flatnonzero(is_border)
            assert len(borders) == len(portion)
            flat.append(ids[~is_border])
            counts.append(np.diff(borders, prepend=-1) - 1)
        if not flat:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.concatenate(flat), np.concatenate(counts)

    def _joined(self, words: list[str]) -> bytes:
        known = self._words  # nothing is ever taken out of it: a full one is left for a new one
        try:
            return b"".join(map(known.__getitem__, words))
        except KeyError:
            unmet = set(words).difference(known)
            new = {word: np.array(self._cut(word), np.int64).tobytes() for word in unmet}
        self._keep({word: ids for word, ids in new.items() if len(word) <= MAX_WORD_CHARACTERS})
        return b"".join([new[word] if word in new else known[word] for word in words])

    def _keep(self, new: dict[str, bytes]) -> None:
        with self._lock:
            if len(self._words) + len(new) > MAX_WORDS:
                self._words = {_BORDER: self._border}
            if len(new) < MAX_WORDS:
                self._words.update(new)


def _portions(texts: Sequence[str]) -> Generator[Sequence[str]]:
    """Yield the texts in runs of about 65000 characters, so that memory stays flat."""
    start = size = 0
    for end, text in enumerate(texts, start=1):
        size += len(text)
        if size >= CHARACTERS_AT_ONCE:
            yield texts[start:end]
            start, size = end, 0
    if start < len(texts):
        yield texts[start:]
