"""SentencePiece models give the ids of the sentencepiece package, and hostile files an error."""

import contextlib
import io
import random
import struct
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models as rust_models
from tokenizers import normalizers

from tally import COUNT
from wordsight.errors import ConfigError, TextError
from wordsight.text import Tokenizer, TokenizerRules
from wordsight.text.charsmap import Charsmap
from wordsight.text.sentence_piece import build_sentence_piece, sentence_piece
from wordsight.text.sentence_piece_file import parse_sentence_piece

spm = pytest.importorskip("sentencepiece")

ENGLISH = (
    "a photo of the cat dogs running on street with red cars crack steel surface Inspection Tower"
)
JAPANESE = ["東京", "タワー", "の", "写真", "猫", "が", "道路", "を", "走る", "赤い", "車", "検査"]
SYMBOLS = ["<custom>", "[X]"]
ODD = ["</s>", "<s>", "<unk>", "<pad>", "<eos>", "<0x41>", "<0xE3>", "<custom>", "[X]", "▁", "▁▁",
       "  ", "\u3000", "ﾊﾞｽ", "ﾊﾟ", "①", "㍿", "ＦＵＬＬ", "aaaaa", "…", "e\u0301\u0316",
       "\u1100\u1161", "\t", "\n\n", "\x07", "\u200b", "ſ", "İ", "😀", "¨", "\ufeff"]  # fmt: skip
GEMMA = {
    "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
    "add_dummy_prefix": False, "remove_extra_whitespaces": False, "pad_id": 0, "eos_id": 1,
    "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>", "bos_piece": "<bos>", "split_digits": True,
}  # fmt: skip
SIGLIP = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
CASES = {
    "unigram": {},
    "unigram as SigLIP": SIGLIP,
    "unigram as SigLIP's mC4": {**SIGLIP, "byte_fallback": True},
    "unigram with casefold": {"normalization_rule_name": "nmt_nfkc_cf", "byte_fallback": True},
    "unigram with nfkc": {"normalization_rule_name": "nfkc", "remove_extra_whitespaces": False},
    "unigram with nothing": {"normalization_rule_name": "identity", "add_dummy_prefix": False},
    "unigram with symbols": {"user_defined_symbols": SYMBOLS},
    "unigram across spaces": {"split_by_whitespace": False},
    "bpe": {"model_type": "bpe"},
    "bpe with bytes": {"model_type": "bpe", "byte_fallback": True},
    "bpe with symbols": {"model_type": "bpe", "user_defined_symbols": SYMBOLS},
    "bpe with keeping spaces": {"model_type": "bpe", "remove_extra_whitespaces": False},
    "bpe as Gemma": GEMMA,
    "bpe as Gemma with symbols": {
        **GEMMA, "user_defined_symbols": ["<mask>", "▁▁", "▁▁▁", "\n", "\n\n", *SYMBOLS],
    },
}  # fmt: skip


def corpus() -> list[str]:
    rng = random.Random(1)
    words = ENGLISH.split()
    english = [" ".join(rng.choices(words, k=rng.randint(3, 9))) + "." for _ in range(1500)]
    return english + ["".join(rng.choices(JAPANESE, k=rng.randint(3, 9))) for _ in range(1500)]


def train(sentences: list[str], **settings) -> bytes:
    """A small model, made by the sentencepiece package itself."""
    out = io.BytesIO()
    is_bpe = settings.get("model_type") == "bpe"
    size = {"vocab_size": 700} if is_bpe else {"vocab_size": 500, "hard_vocab_limit": False}
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=out, num_threads=1, minloglevel=2,
        **{**size, **settings},
    )  # fmt: skip
    return out.getvalue()


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    sentences = corpus()
    return {name: train(sentences, **settings) for name, settings in CASES.items()}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Words, odd pieces, and characters of every class, joined with and without spaces."""
    rng = random.Random(2)
    assigned = [chr(code) for code in range(1, 0x30000)
                if unicodedata.category(chr(code)) not in ("Cs", "Cn")]  # fmt: skip
    marks = [character for character in assigned if unicodedata.category(character)[0] == "M"]
    pools = [ENGLISH.split(), JAPANESE, assigned, marks, ODD, [" "], list("abcdefgh01ｱｶﾞ")]
    return [
        "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 12)))
        for _ in range(4000)
    ] + [letter * length for letter in "aeのx" for length in range(2, 30)]


def opened(content: bytes, **rules) -> Tokenizer:
    rust = build_sentence_piece(parse_sentence_piece(content, where="m"), where="m")
    defaults = {"cleaning": "none", "context_length": 64, "pad_id": 0}
    return Tokenizer.from_bytes(rust.to_str().encode(), TokenizerRules(**{**defaults, **rules}))


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_sentencepiece(models, texts, name):
    theirs = spm.SentencePieceProcessor(model_proto=models[name])
    ours = opened(models[name])
    for text in texts:
        ids, expected = ours.spell(text).ids, theirs.encode(text)
        # Where nothing remains of a text, there are no tokens; sentencepiece may leave the space.
        assert ids == expected or (not ids and not theirs.decode(expected)), ascii(text)
    COUNT["strings through SentencePiece models"] += len(texts)
    assert ours.vocabulary_size == theirs.get_piece_size()
    assert ours.unknown_id == theirs.unk_id()


def test_ids_of_real_captions_are_those_of_sentencepiece(shared, tmp_path):
    folder = shared / "data" / "coco2k_captions"
    lines = (folder / "pairs.csv").read_text(encoding="utf-8").splitlines()[1:]
    for settings_ in ({**SIGLIP, "vocab_size": 1500}, {**GEMMA, "vocab_size": 3000}):
        content = train(lines, **settings_)
        path = tmp_path / "spiece.model"
        path.write_bytes(content)
        theirs = spm.SentencePieceProcessor(model_proto=content)
        rules = TokenizerRules(cleaning="none", context_length=500, pad_id=0)
        ours = Tokenizer.from_bytes(sentence_piece(path).to_str().encode(), rules).encode(lines)
        for row, length, line in zip(ours.ids, ours.lengths, lines, strict=True):
            assert row[:length].tolist() == theirs.encode(line)


def test_control_pieces_are_found_where_the_model_says(models):
    model = parse_sentence_piece(models["bpe as Gemma"], where="m")
    assert (model.pad_id, model.end_id, model.start_id, model.unknown_id) == (0, 1, 2, 3)
    model = parse_sentence_piece(models["unigram as SigLIP"], where="m")
    assert (model.pad_id, model.end_id, model.start_id, model.unknown_id) == (0, 1, None, 2)
    assert not model.byte_fallback
    assert parse_sentence_piece(models["bpe with bytes"], where="m").byte_fallback


@pytest.mark.parametrize("name", ["unigram as SigLIP", "unigram as SigLIP's mC4", "bpe as Gemma"])
def test_no_text_produces_a_control_token(models, texts, name):
    control = {0, 1} | ({2} if name == "bpe as Gemma" else set())
    tokenizer = opened(models[name], end_id=1)
    for text in [*texts, "</s>", "<pad>", "a</s>", "<eos>", "<bos><eos>"]:
        assert not control & set(tokenizer.spell(text).ids), ascii(text)


# The table of characters


@pytest.mark.parametrize("name", ["unigram", "unigram with casefold", "unigram with nfkc"])
def test_characters_are_rewritten_as_sentencepiece_does(models, texts, name):
    table = Charsmap(parse_sentence_piece(models[name], where="m").charsmap)
    theirs = spm.SentencePieceNormalizer(
        model_proto=models[name], add_dummy_prefix=False, escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )  # fmt: skip
    ascii_texts = [chr(code) * 2 + "a" for code in range(1, 128)]
    for text in [*texts, *ascii_texts]:
        assert table.apply(text) == theirs.normalize(text), ascii(text)


def test_voicing_marks_that_tokenizers_would_lose_are_kept(models):
    table = Charsmap(parse_sentence_piece(models["unigram"], where="m").charsmap)
    assert table.apply("ﾊﾞｽ ﾊﾟｿｺﾝ") == "バス パソコン"
    assert table.apply("e\u0301\u0316") == "é\u0316"


def test_a_tokenizer_json_of_another_maker_gets_the_same_table(models, texts):
    content = parse_sentence_piece(models["unigram"], where="m").charsmap
    theirs = spm.SentencePieceNormalizer(
        model_proto=models["unigram"], add_dummy_prefix=False, escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )  # fmt: skip
    table, lower = normalizers.Precompiled(content), normalizers.Lowercase()
    mark = normalizers.Replace("a", "AAA")
    for steps in ([table], [lower, table], [table, mark], [lower, table, mark]):
        rust = RustTokenizer(rust_models.Unigram([("?", 0.0)], unk_id=0))
        rust.normalizer = normalizers.Sequence(steps) if len(steps) > 1 else table
        rules = TokenizerRules(cleaning="none", context_length=64, pad_id=0)
        tokenizer = Tokenizer.from_bytes(rust.to_str().encode(), rules)
        for text in texts[:300]:
            expected = theirs.normalize(lower.normalize_str(text) if lower in steps else text)
            assert tokenizer.spell(text).text == expected, ascii(text)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_table_rewrites_or_is_refused(models, data):
    content = bytearray(parse_sentence_piece(models["unigram"], where="m").charsmap)
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    try:
        table = Charsmap(bytes(content))
        table.apply("ﾊﾞｽ e\u0301 \x07 abc①" * 3)
    except TextError as error:
        assert "precompiled_charsmap" in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", struct.pack("<I", 400) + bytes(8), struct.pack("<I", 6) + bytes(8),
                struct.pack("<I", 0), bytes((16 << 20) + 1)], ids=len,
)  # fmt: skip
def test_what_is_no_table_is_refused(content):
    with pytest.raises(TextError, match="precompiled_charsmap"):
        Charsmap(content)


def test_an_entry_that_leads_out_of_the_table_is_refused():
    # One entry, for "A", whose value begins behind the end of the values.
    units = [0] * 512
    units[0] = 256 << 10
    units[256 ^ 0x41] = (1 << 10) | (1 << 8) | 0x41
    units[256 ^ 0x41 ^ 1] = (1 << 31) | 99
    table = Charsmap(struct.pack("<I", 4 * len(units)) + struct.pack("<512I", *units) + b"b\0")
    assert table.apply("abc") == "abc"
    with pytest.raises(TextError, match="no entry ends after byte 99"):
        table.apply("A")


# Files


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def piece(text: bytes, score: float = 0.0, kind: int = 1) -> bytes:
    return field(1, field(1, text) + field(2, score) + field(3, kind))


UNKNOWN = piece(b"<unk>", kind=2)
HOSTILE = {
    "empty": (b"", "has no pieces"),
    "text": (b"\nHello, this is no model", "not a protocol buffer|ends inside a field"),
    "pickle": (b"\x80\x04\x95cos\nsystem", "not a protocol buffer|ends inside a field"),
    "zip": (b"PK\x03\x04" + bytes(100), "not a protocol buffer|ends inside a field|no pieces"),
    "torn": (UNKNOWN + piece(b"abc")[:-3], "ends inside a field"),
    "huge length": (b"\x0a" + varint(1 << 60) + b"a", "ends inside a field"),
    "endless number": (b"\xff" * 30, "a number has no end"),
    "group": (b"\x0b", "kind 3"),
    "field 0": (b"\x00\x01", "field 0"),
    "no unknown": (piece(b"a"), "has 0 pieces of the kind unknown"),
    "two unknown": (UNKNOWN + piece(b"u", kind=2), "has 2 pieces of the kind unknown"),
    "twice": (UNKNOWN + piece(b"a") * 2, "piece 2, 'a', stands there twice"),
    "not utf-8": (UNKNOWN + piece(b"\xff\xfe"), "piece 1: not UTF-8"),
    "no text": (UNKNOWN + piece(b""), "piece 1: '' is not a piece"),
    "long": (UNKNOWN + piece(b"a" * 257), "piece 1: 'aaa.* is not a piece of text"),
    "special": (
        UNKNOWN + b"".join(piece(b"<%d>" % i, kind=3) for i in range(10_001)),
        "10002 special pieces, the limit is 10000",
    ),
    "nul": (UNKNOWN + piece(b"a\0b"), "is not a piece of text"),
    "nan": (UNKNOWN + piece(b"a", float("nan")), "its score is nan"),
    "infinite": (UNKNOWN + piece(b"a", float("-inf")), "its score is -inf"),
    "kind": (UNKNOWN + piece(b"a", kind=9), "unknown kind 9"),
    "score as bytes": (UNKNOWN + field(1, field(1, b"a") + field(2, b"x")), "expected a number"),
    "text as number": (UNKNOWN + field(1, field(1, 5)), "expected bytes, got the number 5"),
    "piece as number": (field(1, 5), "expected bytes, got the number 5"),
    "algorithm": (UNKNOWN + field(2, field(3, 7)), "unknown model_type 7"),
    "word": (UNKNOWN + field(2, field(3, 3)), "of type 'word' is not supported"),
    "suffix": (UNKNOWN + field(2, field(24, 1)), "spaces at the end of words"),
    "unused": (UNKNOWN + piece(b"a", kind=5) + field(2, field(3, 2)), "unused pieces"),
    "table": (UNKNOWN + field(3, field(2, b"abc")), "precompiled_charsmap"),
    "large": (bytes((16 << 20) + 1), "too large for a SentencePiece model"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_with_its_path_and_the_reason(tmp_path: Path, kind):
    content, reason = HOSTILE[kind]
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    with pytest.raises(TextError, match=reason) as caught:
        sentence_piece(path)
    assert len(str(caught.value)) < 300
    assert str(caught.value).startswith(str(path)) or kind == "table"
    COUNT["hostile SentencePiece models"] += 1


def test_a_symbol_that_the_model_would_rewrite_is_refused():
    content = train(corpus(), user_defined_symbols=["①"])
    with pytest.raises(TextError, match="'①', is defined by the user, but the model rewrites"):
        opened(content)


def test_a_missing_file_is_a_wrong_setting(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        sentence_piece(tmp_path / "none.model")
    with pytest.raises(ConfigError, match="cannot be read"):
        sentence_piece(tmp_path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_file_with_flipped_or_missing_bytes_opens_or_is_refused(models, data):
    name = data.draw(st.sampled_from(sorted(models)))
    content = bytearray(models[name])
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with contextlib.suppress(TextError, ConfigError):
        opened(bytes(content)).spell("a ﾊﾞｽ </s> <custom>")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(content):
    try:
        parse_sentence_piece(UNKNOWN + content, where="m")
    except TextError as error:
        assert str(error).startswith("m")
