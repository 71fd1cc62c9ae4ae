"""A SentencePiece model file (`spiece.model`, `tokenizer.model`): what stands in it, checked.

Numbers of fields are those of sentencepiece_model.proto of the SentencePiece project.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wordsight.errors import ConfigError, TextError
from wordsight.text import protobuf
from wordsight.text.protobuf import Value

MAX_BYTES = 16 << 20  # those of mC4 and Gemma, with 256k pieces, have 4.3 MB
MAX_PIECES = 1 << 20
MAX_PIECE_CHARACTERS = 256
MAX_SPECIAL_PIECES = 10_000
"""Pieces that are not plain text; Gemma has 500."""

PieceKind = Literal["normal", "unknown", "control", "user_defined", "unused", "byte"]
_PIECE_KINDS: Mapping[int, PieceKind] = {
    1: "normal",
    2: "unknown",
    3: "control",
    4: "user_defined",
    5: "unused",
    6: "byte",
}
_ALGORITHMS: Mapping[int, str] = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True, kw_only=True, slots=True)
class SentencePieceModel:
    """A model as its file describes it."""

    algorithm: str
    """unigram, bpe, word or char."""
    pieces: tuple[Piece, ...]
    unknown_id: int
    start_id: int | None
    end_id: int | None
    pad_id: int | None
    """Ids of the control pieces the model was trained with; None if it has no such piece."""
    byte_fallback: bool
    """Whether a character without a piece is written as its bytes."""
    charsmap: bytes
    """Table that rewrites characters; empty if it has none."""
    add_dummy_prefix: bool
    """Whether a text begins with a space, so that its first word is like the others."""
    remove_extra_whitespaces: bool
    """Whether runs of spaces are one, and none stand at the ends."""
    escape_whitespaces: bool
    """Whether spaces become U+2581."""
    spaces_at_end: bool
    """Whether a word's space follows it, and does not precede it."""


def read_sentence_piece(path: Path) -> SentencePieceModel:
    """Read a SentencePiece model file.

    Raises:
        ConfigError: if it cannot be read.
        TextError: if it is not such a file, is damaged or too large, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_sentence_piece(content, where=str(path))


def parse_sentence_piece(content: bytes, *, where: str) -> SentencePieceModel:
    """Read the content of a SentencePiece model file.

    Raises:
        TextError: if it is not such a file, is damaged or too large, or contradicts itself.
    """
    if len(content) > MAX_BYTES:
        raise TextError(
            f"{where}: more than {MAX_BYTES} bytes, too large for a SentencePiece model"
        )
    pieces: list[Piece] = []
    trainer: dict[int, Value] = {}
    normalizer: dict[int, Value] = {}
    for field, value in protobuf.fields(content, where=where):
        if field == 1:
            if len(pieces) >= MAX_PIECES:
                raise TextError(f"{where}: more than {MAX_PIECES} pieces")
            name = f"{where}: piece {len(pieces)}"
            pieces.append(_piece(protobuf.content(value, where=name), name))
        elif field == 2:
            name = f"{where}: trainer_spec"
            trainer |= protobuf.fields(protobuf.content(value, where=name), where=name)
        elif field == 3:
            name = f"{where}: normalizer_spec"
            normalizer |= protobuf.fields(protobuf.content(value, where=name), where=name)
    if not pieces:
        raise TextError(f"{where}: has no pieces; expected a SentencePiece model")
    return _model(tuple(pieces), trainer, normalizer, where)


def _piece(message: bytes, where: str) -> Piece:
    values = dict(protobuf.fields(message, where=where))
    text = protobuf.text(values.get(1, b""), where=where)
    score = protobuf.floating(values.get(2, 0), where=where)
    kind = protobuf.number(values.get(3, 1), where=where)
    if not text or "\0" in text or len(text) > MAX_PIECE_CHARACTERS:
        raise TextError(f"{where}: {text[:80]!r} is not a piece of text")
    if not math.isfinite(score):
        raise TextError(f"{where}: its score is {score}, expected a finite number")
    if kind not in _PIECE_KINDS:
        raise TextError(f"{where}: unknown kind {kind}; expected 1 to 6")
    return Piece(text, score, _PIECE_KINDS[kind])


def _model(
    pieces: tuple[Piece, ...],
    trainer: Mapping[int, Value],
    normalizer: Mapping[int, Value],
    where: str,
) -> SentencePieceModel:
    def flag(values: Mapping[int, Value], field: int, *, default: bool) -> bool:
        return bool(protobuf.number(values.get(field, default), where=where))

    algorithm = protobuf.number(trainer.get(3, 1), where=where)
    if algorithm not in _ALGORITHMS:
        raise TextError(f"{where}: unknown model_type {algorithm}; expected 1 to 4")
    return SentencePieceModel(
        algorithm=_ALGORITHMS[algorithm],
        pieces=pieces,
        unknown_id=_unknown_id(pieces, where),
        start_id=_control_id(pieces, trainer.get(41, 1), where),
        end_id=_control_id(pieces, trainer.get(42, 2), where),
        pad_id=_control_id(pieces, trainer.get(43, -1), where),
        byte_fallback=flag(trainer, 35, default=False),
        charsmap=protobuf.content(normalizer.get(2, b""), where=where),
        add_dummy_prefix=flag(normalizer, 3, default=True),
        remove_extra_whitespaces=flag(normalizer, 4, default=True),
        escape_whitespaces=flag(normalizer, 5, default=True),
        spaces_at_end=flag(trainer, 24, default=False),
    )


def _unknown_id(pieces: tuple[Piece, ...], where: str) -> int:
    texts: set[str] = set()
    unknown: list[int] = []
    for index, piece in enumerate(pieces):
        if piece.text in texts:
            raise TextError(f"{where}: piece {index}, {piece.text!r}, stands there twice")
        texts.add(piece.text)
        if piece.kind == "unknown":
            unknown.append(index)
    num_special = sum(piece.kind not in ("normal", "unused") for piece in pieces)
    if num_special > MAX_SPECIAL_PIECES:
        raise TextError(f"{where}: {num_special} special pieces, the limit is {MAX_SPECIAL_PIECES}")
    if len(unknown) != 1:
        raise TextError(f"{where}: has {len(unknown)} pieces of the kind unknown, expected 1")
    return unknown[0]


def _control_id(pieces: tuple[Piece, ...], value: Value, where: str) -> int | None:
    """Return an id of the trainer's settings if the piece there is indeed a control piece."""
    index = protobuf.signed(value, where=where)
    is_control = 0 <= index < len(pieces) and pieces[index].kind == "control"
    return index if is_control else None
