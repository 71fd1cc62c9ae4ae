"""A tokenizer from whatever file holds a model's vocabulary.

  tokenizer.json                   of any model, Hugging Face's `tokenizers` format
  vocab.json + merges.txt          Hugging Face's CLIP
  bpe_simple_vocab_16e6.txt[.gz]   OpenAI's merges, as clip and open_clip ship them
  spiece.model, tokenizer.model    SentencePiece: SigLIP, SigLIP 2

A byte-pair encoding like CLIP's is rebuilt with OpenAI's rules whatever file it stands in, because
the models were trained with these. Hugging Face's CLIPTokenizer normalises otherwise: it mends no
broken encodings, undoes no HTML entities, does not narrow full-width letters, and splits a few
words elsewhere. On plain sentences both give the same ids.
"""

from pathlib import Path

from wordsight.errors import ConfigError, TextError
from wordsight.text.bpe import openai_bpe
from wordsight.text.presets import Family, siglip_rules
from wordsight.text.rules import Cleaning, TokenizerRules
from wordsight.text.sentence_piece import build_sentence_piece
from wordsight.text.sentence_piece_file import SentencePieceModel, read_sentence_piece
from wordsight.text.tokenizer import Tokenizer
from wordsight.text.vocabulary_json import clip_tokenizer, lower_cased, open_json

_SENTENCE_PIECE = ("spiece.model", "tokenizer.model")
_OPENAI = ("bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt")


SHORTEST_CONTEXT = 3
"""Start token, one of text, end token."""


def find_vocabulary(folder: Path, *, family: Family) -> Path | None:
    """Return the vocabulary file of a model's folder, or None.

    SigLIP's own file is the SentencePiece model, from which others were made with small losses;
    it goes first there. OpenAI's merges are never SigLIP's.
    """
    names = ("tokenizer.json", "vocab.json", *_SENTENCE_PIECE)
    if family == "clip":
        names = (*names, *_OPENAI)
    if family == "siglip":
        names = (*_SENTENCE_PIECE, *names)
    for name in names:
        is_whole = name != "vocab.json" or (folder / "merges.txt").is_file()
        if is_whole and (folder / name).is_file():
            return folder / name
    return None


def open_vocabulary(
    path: Path, *, family: Family, context_length: int, cleaning: Cleaning | None = None
) -> Tokenizer:
    """Open a vocabulary file; its kind is seen from its content.

    Args:
        family: which rules the model was trained with.
        cleaning: of the text; by default OpenAI's for an encoding like CLIP's, SigLIP's for
            `siglip`, lower case alone for `siglip2`, and else what the file itself does.

    Raises:
        ConfigError: if a file cannot be read, or `context_length` leaves no room for text.
        TextError: if it is no vocabulary, damaged, or lacks the tokens that the family needs.
    """
    if context_length < SHORTEST_CONTEXT:
        raise ConfigError(f"context_length {context_length} leaves no room for text")
    head = _head(path)
    if head.startswith(b"\x1f\x8b") or b"#version" in head.split(b"\n")[0]:
        return clip_tokenizer(openai_bpe(path), {}, context_length, cleaning)
    start = head.lstrip()
    if start[:1] == b"{" and start[1:].lstrip()[:1] in (b'"', b"}"):
        return open_json(path, family, context_length, cleaning)
    if head[:1] == b"\n":
        return _from_sentence_piece(path, family, context_length, cleaning)
    raise TextError(
        f"{path}: not a vocabulary; expected tokenizer.json, vocab.json beside merges.txt, "
        "OpenAI's merges file, or a SentencePiece model"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(256)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _from_sentence_piece(
    path: Path, family: Family, context_length: int, cleaning: Cleaning | None
) -> Tokenizer:
    model = read_sentence_piece(path)
    rust = build_sentence_piece(model, where=str(path))
    if family == "clip":
        rules = _own_rules(model, context_length, cleaning)
    elif model.end_id is None:
        raise TextError(f"{path}: the SentencePiece model has no end token (eos_id)")
    else:
        pad = model.end_id if family == "siglip" else model.pad_id
        rules = siglip_rules(family, context_length, cleaning, end_id=model.end_id, pad_id=pad)
        if rules.cleaning == "none":
            return Tokenizer.from_bytes(lower_cased(rust), rules)
    return Tokenizer.from_bytes(rust.to_str().encode(), rules)


def _own_rules(
    model: SentencePieceModel, context_length: int, cleaning: Cleaning | None
) -> TokenizerRules:
    """Return the rules of a model of its own kind: whatever control pieces it has are used."""
    pad = model.unknown_id if model.pad_id is None else model.pad_id
    return TokenizerRules(
        cleaning=cleaning or "none",
        context_length=context_length,
        pad_id=pad,
        start_id=model.start_id,
        end_id=model.end_id,
        pad_to_context=True,
    )
