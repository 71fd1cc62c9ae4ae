"""Learning a vocabulary from captions: byte-pair encoding, built as OpenAI's is.

Sennrich et al., 2016: the two neighbouring symbols that are most frequent become one, again and
again. Symbols are bytes (Radford et al., 2019), so no text in any language is unreadable.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers, trainers

from wordsight.errors import ConfigError, TextError
from wordsight.text.bpe import END, START, WORD_END, byte_symbols, clip_bpe, words
from wordsight.text.clean import clean
from wordsight.text.readable import require_text
from wordsight.text.rules import OPENAI_RULES
from wordsight.text.tokenizer import Tokenizer

SMALLEST_VOCABULARY = 512 + 2
"""Every byte, every byte at the end of a word, start and end."""
LARGEST_VOCABULARY = 1 << 20
_FIRST_END = 0xE000
"""The code points for private use begin here."""


def learn_bpe(
    captions: Iterable[str],
    *,
    vocab_size: int,
    context_length: int = 77,
    min_count: int = 2,
    at_most: bool = False,
) -> Tokenizer:
    """Learn a tokenizer of `vocab_size` tokens from captions in any language.

    The same captions in the same order give the same tokenizer on every machine. Its rules are
    OpenAI's: their cleaning, rows of `context_length` with a start token, an end token that has
    the largest id (CLIP reads the sentence there), and 0 after it. Languages without spaces, such
    as Japanese, are learnt from whole runs of letters. Written for Hugging Face it is an ordinary
    CLIPTokenizer.

    Args:
        captions: sentences; those with nothing to read are passed over.
        vocab_size: tokens, with the 512 of single bytes, start and end; OpenAI's CLIP has 49408.
        min_count: how often two symbols must stand side by side to become one.
        at_most: take the smaller vocabulary that few captions give, instead of refusing them.

    Raises:
        ConfigError: if `vocab_size` is below 515 or above a million, `context_length` below 3 or
            `min_count` below 1.
        TextError: if there are too few captions for so many tokens and `at_most` is not set, or
            one cannot be used.
    """
    if not SMALLEST_VOCABULARY < vocab_size <= LARGEST_VOCABULARY:
        raise ConfigError(
            f"vocab_size {vocab_size}: expected {SMALLEST_VOCABULARY + 1} to {LARGEST_VOCABULARY}"
        )
    if context_length < OPENAI_RULES.num_added + 1 or min_count < 1:
        raise ConfigError(
            f"context_length {context_length}, min_count {min_count}: expected at least "
            f"{OPENAI_RULES.num_added + 1} and 1"
        )
    num_merges = vocab_size - SMALLEST_VOCABULARY
    merges = _merges(captions, num_merges, min_count)
    if len(merges) < num_merges and not at_most:
        raise TextError(
            f"the captions hold enough for {SMALLEST_VOCABULARY + len(merges)} tokens, not for "
            f"vocab_size {vocab_size}",
            hint="give more captions or a smaller vocab_size",
        )
    tokens = [*byte_symbols(), *(left + right for left, right in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    rust = clip_bpe(vocabulary, merges, where="the learnt vocabulary")
    rules = replace(
        OPENAI_RULES,
        context_length=context_length,
        start_id=vocabulary[START],
        end_id=vocabulary[END],
    )
    return Tokenizer.from_bytes(rust.to_str().encode(), rules)


def _merges(captions: Iterable[str], count: int, min_count: int) -> list[tuple[str, str]]:
    """Return the first `count` merges that are learnt, or all if there are fewer.

    While learning, one character stands for each of the 512 symbols, the end of a word included:
    so all are known beforehand, and ties, which their numbers decide, fall the same way each time.
    """
    letters = {symbol: _letter(symbol, i) for i, symbol in enumerate(byte_symbols())}
    symbols = {letter: symbol for symbol, letter in letters.items()}
    rust = RustTokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + count + count // 64 + 16,  # some may make the same token
        min_frequency=min_count,
        initial_alphabet=list(letters.values()),
        show_progress=False,
    )
    rust.train_from_iterator(_lines(captions, letters), trainer)
    found: list[list[str]] = json.loads(rust.to_str())["model"]["merges"]
    merges: dict[str, tuple[str, str]] = {}
    for pair in found:
        left, right = ("".join(map(symbols.__getitem__, part)) for part in pair)
        merges.setdefault(left + right, (left, right))
    return list(merges.values())[:count]


def _letter(symbol: str, index: int) -> str:
    return chr(_FIRST_END + index) if symbol.endswith(WORD_END) else symbol


def _lines(captions: Iterable[str], letters: dict[str, str]) -> Iterator[str]:
    """Yield the words of each caption, in letters, with a space between them."""
    cut = words()
    for index, caption in enumerate(captions):
        require_text(caption, index)
        found = cut.pre_tokenize_str(clean(caption, OPENAI_RULES.cleaning))
        yield " ".join(word[:-1] + letters[word[-1] + WORD_END] for word, _ in found)
