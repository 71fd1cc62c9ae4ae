"""From sentences to the rows of ids a text tower reads.

Shape letters: N texts, L tokens of the longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import ConfigError, TextError
from wordsight.text.backend import MAX_BYTES, Backend, Spelling
from wordsight.text.clean import clean, is_tidy
from wordsight.text.readable import require_text, shown
from wordsight.text.rules import TokenizerRules


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """A text whose end the model will not see.

    `num_kept` and `num_total` count its tokens without start and end. `lost_words` are the words
    that were cut, the first of them perhaps only in part.
    """

    index: int
    text: str
    num_kept: int
    num_total: int
    lost_words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tokens:
    """Ids of N texts (N, L), the used length of each row (N,), and what did not fit."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    truncated: tuple[Truncation, ...]


class Tokenizer:
    """Cut sentences into tokens by a tokenizer.json and the rules of a model."""

    def __init__(self, content: bytes, rules: TokenizerRules):
        self.rules = rules
        self._content = content
        control = frozenset(i for i in (rules.start_id, rules.end_id) if i is not None)
        self._backend = Backend(content, control_ids=control)
        for token_id in control | {rules.pad_id}:
            if not self._backend.has(token_id):
                raise ConfigError(f"token id {token_id} is not in the tokenizer's vocabulary")

    @classmethod
    def from_bytes(cls, content: bytes, rules: TokenizerRules) -> "Tokenizer":
        """Open the content of a tokenizer.json.

        Raises:
            TextError: if it is over 64 MiB or not a tokenizer.json.
            ConfigError: if an id in `rules` is not in its vocabulary.
        """
        return cls(content, rules)

    @classmethod
    def from_file(cls, path: Path, rules: TokenizerRules) -> "Tokenizer":
        """Open a tokenizer.json.

        Raises:
            TextError: if it is over 64 MiB or not a tokenizer.json.
            ConfigError: if it cannot be read, or an id in `rules` is not in its vocabulary.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise ConfigError(f"{path}: there is no such file") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            return cls(content, rules)
        except TextError as error:
            raise TextError(f"{path}: {error}") from None

    def to_bytes(self) -> bytes:
        """Return the tokenizer.json this was opened from, unchanged."""
        return self._content

    def __reduce__(self) -> tuple[type["Tokenizer"], tuple[bytes, TokenizerRules]]:
        return Tokenizer, (self._content, self.rules)

    @property
    def vocabulary_size(self) -> int:
        """Rows the model's embedding table needs: every id is below it."""
        return self._backend.max_id() + 1

    @property
    def unknown_id(self) -> int | None:
        """The id that stands for words the tokenizer does not know, if it has one."""
        return self._backend.unknown_id

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Cut texts into rows of ids: start token, the text, end token, padding.

        A text that does not fit keeps its beginning, and the end token, and is reported in
        `truncated`. The names of control tokens inside a text are ordinary characters.

        Raises:
            TextError: naming index and text, for a text that is not a string, holds NUL or a lone
                surrogate, has over 100000 characters, or has nothing to read after cleaning. An
                empty label or caption is a mistake, though CLIP itself would embed it.
        """
        cleaned = self._cleaned(texts)
        flat, counts = self._backend.ids(cleaned)
        if not counts.all():
            index = int(counts.argmin())
            raise TextError(
                f"text {index} is {shown(texts[index])}: there is nothing to read in it; "
                "expected at least one word"
            )
        room = self.rules.context_length - self.rules.num_added
        truncated = tuple(
            self._truncation(index, texts[index], cleaned[index], room)
            for index in np.flatnonzero(counts > room).tolist()
        )
        return self._table(flat, counts, truncated)

    def spell(self, text: str) -> Spelling:
        """Show how one text is cut: all its tokens, without start, end, padding and truncation.

        Raises:
            TextError: as `encode`, except that a text with nothing to read has no tokens.
        """
        return self._backend.spell(self._cleaned([text])[0])

    def _cleaned(self, texts: Sequence[str]) -> list[str]:
        if isinstance(texts, str):
            raise TextError(f"expected a list of texts, got one text, {shown(texts)}")
        is_openai = self.rules.cleaning == "openai"
        return [
            text.lower() if is_openai and is_tidy(text) else self._read(text, index)
            for index, text in enumerate(texts)
        ]

    def _read(self, text: str, index: int) -> str:
        require_text(text, index)
        return clean(text, self.rules.cleaning)

    def _truncation(self, index: int, text: str, cleaned: str, room: int) -> Truncation:
        spelling = self._backend.spell(cleaned)
        return Truncation(
            index=index,
            text=text,
            num_kept=room,
            num_total=len(spelling.ids),
            lost_words=_words_from(spelling.text, spelling.spans[room][0]),
        )

    def _table(
        self,
        flat: NDArray[np.int64],
        counts: NDArray[np.int64],
        truncated: tuple[Truncation, ...],
    ) -> Tokens:
        """Lay the ids of all texts in a row out as (N, L), with control tokens and padding."""
        rules = self.rules
        room = rules.context_length - rules.num_added
        columns = np.arange(len(flat)) - np.repeat(counts.cumsum() - counts, counts)
        if truncated:
            is_kept = columns < room
            flat, columns, counts = flat[is_kept], columns[is_kept], np.minimum(counts, room)
        lengths = counts + rules.num_added
        width = rules.context_length if rules.pad_to_context else int(lengths.max(initial=0))
        ids = np.full((len(counts), width), rules.pad_id, dtype=np.int64)
        rows = np.arange(len(counts)) * width
        places = ids.ravel()  # the same memory
        places[columns + np.repeat(rows + (rules.start_id is not None), counts)] = flat
        if rules.start_id is not None:
            places[rows] = rules.start_id
        if rules.end_id is not None:
            places[rows + lengths - 1] = rules.end_id
        return Tokens(ids=ids, lengths=lengths, truncated=truncated)


def _words_from(text: str, start: int) -> tuple[str, ...]:
    """Split the end of `text` into words; one that `start` falls into is taken whole.

    Scripts above U+2E80 (Japanese, Chinese, Korean) are cut between any two characters.
    """
    while start > 0 and text[start - 1].isalnum() and text[start - 1] < "\u2e80":
        start -= 1
    return tuple(text[start:].split())
