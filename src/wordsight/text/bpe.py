"""OpenAI CLIP's byte-pair encoding, rebuilt from its merges file as a `tokenizers` object."""

import gzip
import zlib
from pathlib import Path
from typing import IO

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from wordsight.errors import ConfigError, TextError

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
    symbols = _byte_symbols()
    tokens = symbols + [symbol + WORD_END for symbol in symbols]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = _merges(path)
    for number, (left, right) in enumerate(merges, start=2):
        if left not in vocabulary or right not in vocabulary or left + right in vocabulary:
            raise TextError(
                f"{path}, line {number}: {left!r} {right!r} does not join two known symbols into "
                "a new one; expected OpenAI's bpe_simple_vocab_16e6.txt"
            )
        vocabulary[left + right] = len(vocabulary)
    vocabulary[START], vocabulary[END] = len(vocabulary), len(vocabulary) + 1
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=WORD_END)  # pyright: ignore[reportArgumentType]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    special = [AddedToken(token, special=True) for token in (START, END)]
    tokenizer.add_special_tokens(special)  # pyright: ignore[reportUnknownMemberType]
    tokenizer.encode_special_tokens = True
    return tokenizer


def _byte_symbols() -> list[str]:
    """One printable character for each byte, in the order OpenAI numbered them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]


def _merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = _read(path).decode().split("\n")[1 : NUM_MERGES + 1]  # line 1 is the version
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: not UTF-8 text: {error}") from None
    if len(lines) < NUM_MERGES:
        raise TextError(f"{path}: has {len(lines)} merges, expected at least {NUM_MERGES}")
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=2):
        pair = line.split()
        if len(pair) != 2:
            raise TextError(f"{path}, line {number}: expected two symbols, got {line[:80]!r}")
        merges.append((pair[0], pair[1]))
    return merges


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
