"""CLIP's byte-pair encoding, rebuilt from a vocabulary and its merges as a `tokenizers` object."""

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from wordsight.errors import ConfigError, TextError
from wordsight.text.rust_errors import rust_errors

NUM_MERGES = 48_894
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_BYTES = 16 << 20  # the published file has 3.2 MB unpacked

# Text arrives lower-cased, so the original's ignore-case flag only matters for two characters:
# the long s, which reads as "s", and U+0345, which folds to a letter and so is in no part at all.
PATTERN = "'[s\u017f]|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}\u0345]+"


def openai_bpe(path: Path) -> Tokenizer:
    """Build the tokenizer of OpenAI's CLIP models from `bpe_simple_vocab_16e6.txt[.gz]`.

    The vocabulary has 49408 entries: 256 byte symbols, the same 256 at a word's end, 48894 merges,
    and the start and end tokens. Only the first 48894 merges of the file count, as in the original.
    It expects text cleaned with the rules `openai`.

    The start and end tokens are in the vocabulary, but no text produces them: `<|endoftext|>`
    inside a sentence is cut like any other characters, into `<|`, `endoftext`, `|>`. Letters that
    Unicode added after version 14 may be cut elsewhere than the original cuts them.

    Raises:
        ConfigError: if there is no such file, or it cannot be read.
        TextError: if it is not a merges file of that vocabulary, or has more than 16 MiB.
    """
    vocabulary = {symbol: index for index, symbol in enumerate(byte_symbols())}
    merges = _merges(path)
    for number, (left, right) in enumerate(merges, start=2):
        if left not in vocabulary or right not in vocabulary or left + right in vocabulary:
            raise TextError(
                f"{path}, line {number}: {left!r} {right!r} does not join two known symbols into "
                "a new one; expected OpenAI's bpe_simple_vocab_16e6.txt"
            )
        vocabulary[left + right] = len(vocabulary)
    vocabulary[START], vocabulary[END] = len(vocabulary), len(vocabulary) + 1
    return clip_bpe(vocabulary, merges, where=str(path))


def clip_bpe(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    start: str = START,
    end: str = END,
    where: str,
) -> Tokenizer:
    """Build a tokenizer that cuts words as OpenAI's does, with a vocabulary of its own.

    As `openai_bpe`, whose ids it gives for OpenAI's vocabulary. It needs all 256 byte symbols and
    the same at a word's end, so that there is no text it cannot read.

    Args:
        where: what the vocabulary comes from, for the error message.

    Raises:
        TextError: if the vocabulary lacks a symbol, or two symbols have one id.
    """
    for token in (*byte_symbols(), start, end):
        if token not in vocabulary:
            raise TextError(
                f"{where}: the vocabulary lacks {token!r}; expected every byte, every byte at the "
                f"end of a word, {start!r} and {end!r}, as in OpenAI's"
            )
    ids = set(vocabulary.values())
    if len(ids) < len(vocabulary) or not 0 <= min(ids) <= max(ids) < 1 << 31:
        raise TextError(f"{where}: the ids of the vocabulary are not different numbers from 0 on")
    if re.search("[\ud800-\udfff]", "".join(vocabulary)):
        raise TextError(f"{where}: the vocabulary holds half a character (a lone surrogate)")
    for left, right in merges:
        if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
            raise TextError(
                f"{where}: {left!r} {right!r} does not join two symbols of the vocabulary into a "
                "third"
            )
    with rust_errors(f"{where}: the vocabulary cannot be used"):
        tokenizer = Tokenizer(
            models.BPE(vocab=dict(vocabulary), merges=list(merges), end_of_word_suffix=WORD_END)  # pyright: ignore[reportArgumentType]
        )
        tokenizer.pre_tokenizer = words()
        special = [AddedToken(token, special=True) for token in (start, end)]
        tokenizer.add_special_tokens(special)  # pyright: ignore[reportUnknownMemberType]
        tokenizer.encode_special_tokens = True
    return tokenizer


def words() -> pre_tokenizers.PreTokenizer:
    """Return what cuts a cleaned text into words, and these into byte symbols."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def byte_symbols() -> list[str]:
    """Return a printable character for each byte, as OpenAI numbers them, then all at a word's end.

    The vocabulary of every CLIP begins with these 512.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = [chr(byte) for byte in printable]
    symbols += [chr(0x100 + i) for i in range(256 - len(printable))]
    return symbols + [symbol + WORD_END for symbol in symbols]


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Read all merges of a file, plain or gzipped; its first line is the version.

    Raises:
        ConfigError: if there is no such file, or it cannot be read.
        TextError: if it is not a merges file, or has more than 16 MiB.
    """
    lines = _lines(path)[1:]
    while lines and not lines[-1].strip():
        lines.pop()
    return _pairs(path, lines)


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = _lines(path)[1 : NUM_MERGES + 1]
    if len(lines) < NUM_MERGES:
        raise TextError(f"{path}: has {len(lines)} merges, expected at least {NUM_MERGES}")
    return _pairs(path, lines)


def _lines(path: Path) -> list[str]:
    try:
        return _read(path).decode().split("\n")
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: not UTF-8 text: {error}") from None


def _pairs(path: Path, lines: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=2):
        pair = line.split()
        if len(pair) != 2:
            raise TextError(f"{path}, line {number}: expected two symbols, got {line[:80]!r}")
        pairs.append((pair[0], pair[1]))
    return pairs


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_gzip:
                return _at_most(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _at_most(unpacked, path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TextError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _at_most(file: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise TextError(f"{path}: more than {MAX_BYTES} bytes, too large for a merges file")
    return content
