"""One tokenizer.json, opened with care: it may be foreign, and so may the text it is given.

Three promises hold for any tokenizer.json. What it calls truncation, padding and post-processing is
not applied: `Tokenizer` does those itself, in the open. And no text produces a control token: a
user who writes `[SEP]` or `<|endoftext|>` has written characters, not a command to the model. And
a SentencePiece table of characters (`Precompiled`) is applied as SentencePiece itself does, where
`tokenizers` would lose accents and voicing marks.
"""

import base64
import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, models, normalizers
from tokenizers import Tokenizer as RustTokenizer

from wordsight.errors import TextError
from wordsight.text.bpe import PATTERN
from wordsight.text.charsmap import Charsmap
from wordsight.text.rust_errors import rust_errors
from wordsight.text.word_memory import WordMemory

MAX_BYTES = 64 << 20  # the largest in common use, with 256k entries, have about 35 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """How one text is cut: `text` as it was read, and per token its id, word and place in it."""

    text: str
    ids: list[int]
    words: list[int | None]
    spans: list[tuple[int, int]]


class Backend:
    """Text to ids, and nothing else: no cleaning, no control tokens, no padding.

    Where no token reaches across a space (BERT's and CLIP's tokenizers) the ids of words are kept.
    """

    def __init__(self, content: bytes, *, control_ids: frozenset[int]):
        """Open the bytes of a tokenizer.json.

        Args:
            content: the file. It is data, and running it cannot run code, but its regular
                expressions run: one written to be slow makes encoding slow.
            control_ids: ids that no text may produce, beside the file's own special tokens.

        Raises:
            TextError: if it is too large, or not a tokenizer.json.
        """
        if len(content) > MAX_BYTES:
            raise TextError(
                f"tokenizer.json has {len(content)} bytes, the limit is {MAX_BYTES} bytes"
            )
        with rust_errors("tokenizer.json cannot be opened"):
            self._rust = RustTokenizer.from_buffer(content)
        if getattr(self._rust.model, "dropout", None):
            raise TextError("tokenizer.json drops merges at random (dropout): ids would not repeat")
        self._rust.no_truncation()
        self._rust.no_padding()
        self._rust.encode_special_tokens = True  # means: special tokens in the text are text
        added = self._rust.get_added_tokens_decoder()
        self.unknown_id = self._unknown_id()
        special = {index for index, token in added.items() if token.special}
        self._control_ids = (special - {self.unknown_id}) | control_ids
        self._before, self._charsmap = _take_charsmap(self._rust)
        self.memory: WordMemory | None = None
        if len(special) == len(added) and _stops_at_spaces(self._rust):
            self.memory = WordMemory(self._ids)

    def has(self, token_id: int) -> bool:
        """Tell whether an id is in the vocabulary."""
        return 0 <= token_id < 1 << 32 and self._rust.id_to_token(token_id) is not None

    def id_of(self, token: str) -> int | None:
        """Return the id of a token by its name, if the vocabulary has it."""
        return self._rust.token_to_id(token)

    def max_id(self) -> int:
        """Return the largest id of the vocabulary."""
        return max(self._rust.get_vocab(with_added_tokens=True).values(), default=0)

    def ids(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of all texts in a row, and how many of them each text has.

        Args:
            texts: without NUL.

        Raises:
            TextError: if the tokenizer fails on one of them, naming its place.
        """
        if self.memory is not None:
            try:
                with rust_errors("the tokenizer failed"):
                    return self.memory.ids(texts)
            except TextError:
                pass  # one word was at fault: text by text it shows in which
        rows: list[list[int]] = []
        try:
            with rust_errors("the tokenizer failed"):
                for text in texts:
                    rows.append(self._ids(text))
        except TextError as error:
            raise TextError(f"text {len(rows)}: {error}") from None
        counts = np.array([len(row) for row in rows], np.int64)
        return np.fromiter(chain.from_iterable(rows), np.int64, count=int(counts.sum())), counts

    def spell(self, text: str) -> Spelling:
        """Return ids, words and places; the ids are those of `ids`.

        Raises:
            TextError: if the tokenizer fails.
        """
        with rust_errors("the tokenizer failed"):
            text, encoding = self._encode(text)
            return Spelling(
                text=text, ids=encoding.ids, words=encoding.word_ids, spans=encoding.offsets
            )

    def _ids(self, text: str) -> list[int]:
        return self._encode(text)[1].ids

    def _encode(self, text: str) -> tuple[str, Encoding]:
        if self._charsmap is not None:
            if self._before is not None:
                text = self._before.normalize_str(text)
            text = self._charsmap.apply(text)
        encoding = self._rust.encode(text, add_special_tokens=False)
        if self._control_ids.isdisjoint(encoding.ids):
            return text, encoding
        # Some models hold control tokens as ordinary entries too: a space inside breaks them up.
        text = self._broken_up(text, encoding)
        encoding = self._rust.encode(text, add_special_tokens=False)
        if not self._control_ids.isdisjoint(encoding.ids):
            raise TextError(f"{text[:80]!r} contains a control token that cannot be read as text")
        return text, encoding

    def _broken_up(self, text: str, encoding: Encoding) -> str:
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        spans = {span for index, span in pairs if index in self._control_ids}
        for start, end in sorted(spans, reverse=True):
            if end - start > 1:
                text = f"{text[: start + 1]} {text[start + 1 :]}"
        return text

    def _unknown_id(self) -> int | None:
        model = self._rust.model
        if isinstance(model, models.Unigram):  # the one kind that names it by number
            state: dict[str, Any] = json.loads(model.__getstate__())
            return state["unk_id"]
        token: str | None = getattr(model, "unk_token", None)
        return None if token is None else self._rust.token_to_id(token)


def _take_charsmap(
    rust: RustTokenizer,
) -> tuple[normalizers.Normalizer | None, Charsmap | None]:
    """Take a table of characters, and what is done before it, out of the normalizer."""
    if rust.normalizer is None:
        return None, None
    state: dict[str, Any] = json.loads(rust.normalizer.__getstate__())
    states: list[dict[str, Any]] = state.get("normalizers", [state])
    kinds = [one["type"] for one in states]
    if "Precompiled" not in kinds:
        return None, None
    place = kinds.index("Precompiled")
    charsmap = Charsmap(base64.b64decode(states[place]["precompiled_charsmap"]))
    steps = [rust.normalizer[i] for i in range(len(states))] if len(states) > 1 else []
    rust.normalizer = normalizers.Sequence(steps[place + 1 :])
    return (normalizers.Sequence(steps[:place]) if place else None), charsmap


def _stops_at_spaces(rust: RustTokenizer) -> bool:
    if rust.pre_tokenizer is None:
        return False
    before: dict[str, Any] = json.loads(rust.pre_tokenizer.__getstate__())
    if before["type"] == "BertPreTokenizer":
        normalizer = rust.normalizer
        return normalizer is None or type(normalizer).__name__ == "BertNormalizer"
    if before["type"] != "Sequence" or rust.normalizer is not None:
        return False
    split = before["pretokenizers"][0]
    is_clip = split.get("pattern") == {"Regex": PATTERN} and len(before["pretokenizers"]) == 2
    return is_clip and before["pretokenizers"][1]["type"] == "ByteLevel"
