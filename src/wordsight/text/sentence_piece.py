"""SentencePiece models as `tokenizers` objects, without the sentencepiece package.

Kudo & Richardson, 2018. SigLIP's vocabularies are such files: unigram with 32000 pieces of C4 or
250000 of mC4 and, in SigLIP 2, Gemma's byte-pair encoding with 256000.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from wordsight.errors import TextError
from wordsight.text.charsmap import Charsmap
from wordsight.text.rust_errors import rust_errors
from wordsight.text.sentence_piece_file import (
    Piece,
    SentencePieceModel,
    read_sentence_piece,
)

SPACE = "\u2581"
_NEVER = -1e5
"""Score of pieces that the model does not use: any other way of cutting a text is better."""
_RESERVED = ("control", "unknown", "byte")
"""Kinds of pieces that stand for something, and are not the text that is their name."""


def sentence_piece(path: Path) -> Tokenizer:
    """Build the tokenizer of a SentencePiece model file.

    Ids are those of the sentencepiece package, for every kind of piece: the names of control
    pieces are text like any other, and unknown characters next to each other are one token or,
    with byte fallback, their bytes. Open it through `wordsight.text.Tokenizer`, which applies the
    table of characters as SentencePiece does. Two exceptions: sentencepiece adds scores in 32 bits,
    so that of two ways of equal score, as in "aaaaa", it may choose the other; and in byte-pair
    encoding it takes the leftmost of equal merges even if they join other halves of a piece.

    Raises:
        ConfigError: if the file cannot be read.
        TextError: if it is damaged, or of a kind that is not supported, with the reason.
    """
    return build_sentence_piece(read_sentence_piece(path), where=str(path))


def build_sentence_piece(model: SentencePieceModel, *, where: str) -> Tokenizer:
    """Build the tokenizer of a model; as `sentence_piece`.

    Raises:
        TextError: if it is of a kind that is not supported, with the reason.
    """
    _check_supported(model, where)
    with rust_errors(f"{where}: the SentencePiece model cannot be used"):
        return _built(model)


def _built(model: SentencePieceModel) -> Tokenizer:
    core = _unigram(model) if model.algorithm == "unigram" else _bpe(model)
    tokenizer = Tokenizer(core)
    tokenizer.normalizer = normalizers.Sequence(_normalizers(model))
    cuts = _cuts(model)
    if cuts:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    control = [
        AddedToken(piece.text, special=True, normalized=False)
        for piece in model.pieces
        if piece.kind in ("control", "unknown")
    ]
    tokenizer.add_special_tokens(control)  # pyright: ignore[reportUnknownMemberType]
    tokenizer.encode_special_tokens = True
    return tokenizer


def _check_supported(model: SentencePieceModel, where: str) -> None:
    if model.algorithm not in ("unigram", "bpe"):
        raise TextError(
            f"{where}: a SentencePiece model of type {model.algorithm!r} is not supported; "
            "expected unigram or bpe"
        )
    if not model.escape_whitespaces or model.spaces_at_end:
        raise TextError(
            f"{where}: a SentencePiece model that puts spaces at the end of words, or does not "
            "write them as U+2581, is not supported"
        )
    if model.algorithm == "bpe" and any(piece.kind == "unused" for piece in model.pieces):
        raise TextError(f"{where}: byte-pair encoding with unused pieces is not supported")
    table = Charsmap(model.charsmap) if model.charsmap else None
    for index, piece in enumerate(model.pieces):
        if piece.kind == "user_defined" and table and table.apply(piece.text) != piece.text:
            raise TextError(
                f"{where}: piece {index}, {piece.text!r}, is defined by the user, but the model "
                "rewrites its characters: this is not supported"
            )


def _cuts(model: SentencePieceModel) -> list[pre_tokenizers.PreTokenizer]:
    """Return what divides a text before the algorithm sees it; it works on texts as a whole.

    In byte-pair encoding a symbol of the user stands alone. The name of a reserved piece is cut in
    two, at a place that no piece reaches across, so that it is not taken for the piece; merges do
    not make it anyway.
    """
    symbols = [piece.text for piece in model.pieces if piece.kind == "user_defined"]
    is_bpe = model.algorithm == "bpe"
    steps: list[pre_tokenizers.PreTokenizer] = []
    if is_bpe and symbols:
        pattern = "|".join(map(_escaped, sorted(symbols, key=len, reverse=True)))
        steps.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    if not is_bpe or symbols:
        used = [piece.text for piece in model.pieces if piece.kind not in _RESERVED]
        known = {text for text in used if len(text) == 1}
        joined = {text[i : i + 2] for text in used for i in range(len(text) - 1)}
        names = [piece.text for piece in model.pieces if piece.kind in _RESERVED]
        pattern = "|".join(_cut_in_two(name, known, joined) for name in names if len(name) > 1)
        steps.append(pre_tokenizers.Split(Regex(pattern), behavior="merged_with_previous"))
    return steps


def _cut_in_two(name: str, known: set[str], joined: set[str]) -> str:
    """Return a pattern for the first part of a name, where the rest follows.

    A cut between two unknown characters would make two tokens of one.
    """
    places = [i for i in range(1, len(name)) if name[i - 1 : i + 1] not in joined] or [1]
    cut = next((i for i in places if not known.isdisjoint(name[i - 1 : i + 1])), places[0])
    return f"{_escaped(name[:cut])}(?={_escaped(name[cut:])})"


def _unigram(model: SentencePieceModel) -> models.Unigram:
    best = max((piece.score for piece in model.pieces if piece.kind == "normal"), default=0.0)
    vocabulary = [(piece.text, _unigram_score(piece, best)) for piece in model.pieces]
    return models.Unigram(vocabulary, unk_id=model.unknown_id, byte_fallback=model.byte_fallback)


def _unigram_score(piece: Piece, best: float) -> float:
    if piece.kind == "user_defined":  # so that it is nearly always the best way, as there
        return len(piece.text.encode()) * best - 0.1
    return _NEVER if piece.kind == "unused" else piece.score


def _bpe(model: SentencePieceModel) -> models.BPE:
    """Two neighbours are merged if they make a piece, the one with the highest score first."""
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == "normal"}
    merges: list[tuple[float, int, tuple[str, str]]] = []
    for text, score in scores.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in scores and right in scores:
                # Runs of one character are merged from the left: the longer half comes first.
                merges.append((-score, -cut, (left, right)))
    merges.sort()
    settings: dict[str, Any] = {
        "vocab": {piece.text: index for index, piece in enumerate(model.pieces)},
        "merges": [pair for _, _, pair in merges],
        "unk_token": model.pieces[model.unknown_id].text,
        "fuse_unk": True,
        "byte_fallback": model.byte_fallback,
        # A symbol of the user stands alone already, and must be taken as it is.
        "ignore_merges": any(piece.kind == "user_defined" for piece in model.pieces),
    }
    return models.BPE(**settings)


def _normalizers(model: SentencePieceModel) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(r"\A +|(?<= ) +"), ""))
    steps.append(normalizers.Replace(" ", SPACE))
    if model.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(rf"{SPACE}+\z"), ""))
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return steps


def _escaped(text: str) -> str:
    """Return the pattern of a literal text, in the dialect of `tokenizers` (Oniguruma)."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)
