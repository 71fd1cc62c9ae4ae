"""Rows of ids: start, text, end, padding; and everything that could go wrong said aloud."""

import copy
import csv
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer

from wordsight import config
from wordsight.errors import ConfigError, TextError
from wordsight.text import OPENAI_RULES, Tokenizer, TokenizerRules, backend, word_memory

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = st.sampled_from(
    [*SPECIALS, "[sep]", "a", "cat,", "don't", "Été", "東京", "\t", "\x1c", "é"]
)
SENTENCE = (st.lists(WORDS | st.text(max_size=6), max_size=10).map(" ".join)).filter(
    lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
)


def rules(**changes) -> TokenizerRules:
    defaults = {"cleaning": "none", "context_length": 16, "pad_id": 0}
    return TokenizerRules(**{**defaults, **changes})


def captions(shared, name: str) -> list[str]:
    with (shared / "data" / name / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return [row["caption"] for row in csv.DictReader(file)]


def unigram(*, special: bool) -> bytes:
    """A SentencePiece-like model that has `</s>` both as a control token and as a piece."""
    pieces = ["<unk>", "</s>", "\u2581", "a", "<", "/", "s", ">"]
    model = models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0)
    tokenizer = RustTokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken("</s>", special=special)])
    return tokenizer.to_str().encode()


# Rules


def test_rules_survive_json():
    for case in (OPENAI_RULES, rules(start_id=3), rules()):
        stored = json.loads(json.dumps(config.to_dict(case)))
        assert config.from_dict(TokenizerRules, stored, where="config.json") == case


@pytest.mark.parametrize(("length", "fine"), [(2, False), (3, True), (0, False), (-1, False)])
def test_a_context_must_hold_the_control_tokens_and_one_more(length, fine):
    values = {"cleaning": "none", "context_length": length, "pad_id": 0, "start_id": 1, "end_id": 2}
    if fine:
        config.from_dict(TokenizerRules, values, where="f")
    else:
        with pytest.raises(ConfigError, match=f"context_length {length} leaves no room"):
            config.from_dict(TokenizerRules, values, where="f")


@pytest.mark.parametrize("bad", [{"pad_id": 49408}, {"start_id": -1}, {"end_id": 10**12}])
def test_ids_outside_the_vocabulary_are_refused(clip_json, bad):
    with pytest.raises(ConfigError, match=f"{next(iter(bad.values()))} is not in the tokenizer's"):
        Tokenizer.from_bytes(clip_json, rules(**bad))


# Rows


def test_minilm_ids_equal_those_of_transformers(minilm, minilm_json, shared):
    auto = pytest.importorskip("transformers").AutoTokenizer
    theirs = auto.from_pretrained(str(minilm_json.parent), local_files_only=True)
    for name in ("coco2k_captions", "flowers102_captions", "vi_captions"):
        texts = captions(shared, name)
        batch = theirs(texts, padding="longest", truncation=True, max_length=128)
        assert minilm.encode(texts).ids.tolist() == batch["input_ids"]
        mask = np.array(batch["attention_mask"])
        np.testing.assert_array_equal(minilm.encode(texts).lengths, mask.sum(axis=1))


def test_clip_ids_equal_open_clips_on_captions(clip, shared):
    theirs = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    for name in ("coco2k_captions", "flowers102_captions", "vi_captions", "ucm_captions"):
        texts = captions(shared, name)
        assert clip.encode(texts).ids.tolist() == theirs(texts).tolist()


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(SENTENCE, max_size=6))
def test_remembered_words_never_change_an_id(clip, minilm, texts):
    for tokenizer in (clip, minilm):
        readable = [text for text in texts if tokenizer.spell(text).ids]
        tokens = tokenizer.encode(readable)
        room = tokenizer.rules.context_length - 2
        for text, row, length in zip(readable, tokens.ids, tokens.lengths, strict=True):
            assert row[1 : length - 1].tolist() == tokenizer.spell(text).ids[:room]


def test_the_memory_for_words_is_bounded(clip_json, monkeypatch):
    monkeypatch.setattr(word_memory, "MAX_WORDS", 10)
    tokenizer = Tokenizer.from_bytes(clip_json, OPENAI_RULES)
    texts = [f"word{i} and {'long' * 30}{i}" for i in range(50)]
    rows = tokenizer.encode(texts).ids
    kept = tokenizer._backend.memory.words
    assert len(kept) <= 10
    assert max(map(len, kept), default=0) <= word_memory.MAX_WORD_CHARACTERS
    np.testing.assert_array_equal(tokenizer.encode(texts[::-1]).ids[::-1], rows)


@pytest.mark.parametrize("start", [None, 101])
@pytest.mark.parametrize("end", [None, 102])
@pytest.mark.parametrize("pad_to_context", [False, True])
def test_rows_are_start_text_end_padding(minilm_json, start, end, pad_to_context):
    case = rules(start_id=start, end_id=end, pad_id=103, pad_to_context=pad_to_context)
    tokenizer = Tokenizer.from_file(minilm_json, case)
    tokens = tokenizer.encode(["cat", "a small dog"])
    width = 16 if pad_to_context else 3 + case.num_added
    assert tokens.ids.shape == (2, width)
    assert tokens.ids.dtype == tokens.lengths.dtype == np.int64
    for row, length, text in zip(tokens.ids, tokens.lengths, ("cat", "a small dog"), strict=True):
        expected = [i for i in (start, *tokenizer.spell(text).ids, end) if i is not None]
        assert row.tolist() == expected + [103] * (width - len(expected))
        assert length == len(expected)


def test_no_texts_give_no_rows(clip, minilm):
    assert clip.encode([]).ids.shape == (0, 77)
    assert minilm.encode([]).ids.shape == (0, 0)
    assert minilm.encode([]).truncated == ()


# Truncation


@pytest.mark.parametrize("num_words", [74, 75, 76, 200])
def test_truncation_is_reported_exactly_when_words_are_cut(clip, num_words):
    words = [f"{'abcdefgh'[i % 8]}" for i in range(num_words)]
    tokens = clip.encode(["a cat", " ".join(words)])
    assert tokens.ids[1, 0] == 49406
    assert tokens.ids[1, tokens.lengths[1] - 1] == 49407
    assert tokens.lengths[1] == min(77, num_words + 2)
    if num_words <= 75:
        assert tokens.truncated == ()
    else:
        (cut,) = tokens.truncated
        assert (cut.index, cut.num_kept, cut.num_total) == (1, 75, num_words)
        assert cut.text == " ".join(words)
        assert cut.lost_words == tuple(words[75:])


def test_a_word_that_is_cut_inside_is_reported_whole(clip):
    text = "a " * 73 + "Pneumonoultramicroscopic dog"
    (cut,) = clip.encode([text]).truncated
    assert cut.lost_words == ("pneumonoultramicroscopic", "dog")


def test_japanese_is_reported_from_the_character_that_was_cut(minilm_json):
    tokenizer = Tokenizer.from_file(minilm_json, rules(context_length=4))
    (cut,) = tokenizer.encode(["東京大学生"]).truncated
    assert (cut.num_kept, cut.num_total, cut.lost_words) == (4, 5, ("生",))


# Texts that cannot be used


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (3, "text 1 is 3: expected a string, got int"),
        (None, "text 1 is None: expected a string, got NoneType"),
        (b"cat", "expected a string, got bytes"),
        ("", "text 1 is '': there is nothing to read in it"),
        (" \n\u3000", "there is nothing to read in it"),
        ("a\0b", "it holds a NUL"),
        ("a\ud83d", "lone surrogate"),
        ("x" * 100_001, "has 100001 characters, the limit is 100000"),
    ],
)
def test_an_unusable_text_is_named_with_its_place(clip, minilm, text, reason):
    for tokenizer in (clip, minilm):
        with pytest.raises(TextError) as caught:
            tokenizer.encode(["a cat", text])
        assert reason in str(caught.value)
        assert len(str(caught.value)) < 250


def test_the_longest_allowed_text_is_read(clip, minilm):
    for tokenizer in (clip, minilm):
        for text in ("x" * 100_000, "写" * 100_000, "& " * 50_000):
            assert len(tokenizer.encode([text]).truncated) == (text[0] != "x" or tokenizer is clip)


def test_one_text_in_place_of_a_list_is_refused(clip):
    with pytest.raises(TextError, match="expected a list of texts, got one text, 'a cat'"):
        clip.encode("a cat")


# Control tokens in a text are text


@pytest.mark.parametrize("name", SPECIALS)
def test_minilm_reads_the_name_of_a_control_token_as_text(minilm, name):
    plain = minilm.encode([f"a [ {name[1:-1]} ] cat", f"a{name}cat {name}"])
    written = minilm.encode([f"a {name} cat", f"a{name}cat {name}"])
    assert (
        written.ids[0, : written.lengths[0]].tolist() == plain.ids[0, : plain.lengths[0]].tolist()
    )
    for row, length in zip(written.ids, written.lengths, strict=True):
        assert not {0, 100, 101, 102, 103} & set(row[1 : length - 1].tolist())


@pytest.mark.parametrize("special", [True, False])
def test_a_control_token_that_the_model_also_holds_as_a_piece_is_broken_up(special):
    tokenizer = Tokenizer.from_bytes(unigram(special=special), rules(end_id=1))
    tokens = tokenizer.encode(["a </s> a</s></s>", "</s>"])
    for row, length in zip(tokens.ids, tokens.lengths, strict=True):
        assert 1 not in row[: length - 1]
        assert row[length - 1] == 1
    text, ids = tokenizer.spell("</s>").text, tokenizer.spell("</s>").ids
    assert text == "< /s>"
    assert ids == tokens.ids[1, : tokens.lengths[1] - 1].tolist()


def test_a_control_token_of_one_character_is_refused_and_never_obeyed():
    model = models.WordLevel({"a": 0, "\u00a7": 1, "?": 2}, unk_token="?")
    rust = RustTokenizer(model)
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer.from_bytes(rust.to_str().encode(), rules(end_id=1, pad_id=2))
    assert tokenizer.encode(["a a"]).ids.tolist() == [[0, 0, 1]]
    with pytest.raises(TextError, match=r"text 1: 'a § a' contains a control token"):
        tokenizer.encode(["a", "a § a"])


@settings(max_examples=200, deadline=None)
@given(text=SENTENCE)
def test_no_text_produces_a_control_token(clip, minilm, text):
    assert not {49406, 49407} & set(clip.spell(text).ids)
    assert not {0, 101, 102, 103} & set(minilm.spell(text).ids)


# Files


def test_what_was_opened_is_what_is_written(minilm, minilm_json, clip, clip_json):
    assert minilm.to_bytes() == minilm_json.read_bytes()
    assert clip.to_bytes() == clip_json


def test_copies_for_worker_processes_give_the_same_ids(clip, minilm):
    for tokenizer in (clip, minilm):
        texts = ["a [SEP] <|endoftext|> cat", "東京"]
        for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
            np.testing.assert_array_equal(other.encode(texts).ids, tokenizer.encode(texts).ids)


def test_the_files_own_truncation_padding_and_template_are_not_applied(minilm_json):
    stored = json.loads(minilm_json.read_text())
    assert stored["truncation"]["max_length"] == 128
    assert stored["padding"]["strategy"] == {"Fixed": 128}
    tokenizer = Tokenizer.from_file(minilm_json, rules(context_length=1000))
    assert tokenizer.encode(["cat " * 500]).ids.tolist() == [[4937] * 500]
    assert tokenizer.unknown_id == 100
    assert tokenizer.vocabulary_size == 30522


def hostile(content: bytes) -> dict[str, bytes]:
    def changed(**parts) -> bytes:
        return json.dumps({**json.loads(content), **parts}).encode()

    wordpiece = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    pattern = {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Removed", "invert": False}
    return {
        "empty": b"",
        "not json": b"\x80\x04\x95pickle",
        "list": b"[]",
        "object": b"{}",
        "deep": b'{"model":' + b"[" * 200_000,
        "torn": content[: len(content) // 2],
        "nul": content.replace(b"WordPiece", b"Word\0iece"),
        "negative id": changed(model={**wordpiece, "vocab": {"a": -1}}),
        "bad regex": changed(pre_tokenizer=pattern),
        "panic": changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "unknown model": changed(model={"type": "Neural"}),
        "too large": b" " * (backend.MAX_BYTES + 1),
    }


@pytest.mark.parametrize(
    "kind",
    ["empty", "not json", "list", "object", "deep", "torn", "nul", "negative id", "bad regex",
     "panic", "unknown model", "too large"],
)  # fmt: skip
def test_a_hostile_file_is_refused_with_its_path(minilm_json, tmp_path, kind):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(hostile(minilm_json.read_bytes())[kind])
    with pytest.raises(TextError, match=r"tokenizer\.json") as caught:
        Tokenizer.from_file(path, rules())
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_file_with_flipped_bytes_opens_or_is_refused(data):
    content = bytearray(unigram(special=True))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        tokenizer = Tokenizer.from_bytes(bytes(content), rules(end_id=1))
        tokenizer.encode(["a </s> cat", "写真"])
        tokenizer.spell("a b")
    except (TextError, ConfigError):
        pass


def test_a_tokenizer_that_fails_on_a_word_says_on_which_text(tmp_path):
    rust = RustTokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer.from_bytes(rust.to_str().encode(), rules())
    with pytest.raises(TextError, match=r"text 2: the tokenizer failed: .*Missing \[UNK\]"):
        tokenizer.encode(["a", "a a", "b"])


def test_a_tokenizer_that_drops_merges_at_random_is_refused():
    rust = RustTokenizer(models.BPE(vocab={"a": 0}, merges=[], dropout=0.1))
    with pytest.raises(TextError, match="at random"):
        Tokenizer.from_bytes(rust.to_str().encode(), rules())


def test_a_missing_file_is_a_wrong_setting(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        Tokenizer.from_file(tmp_path / "none.json", rules())
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokenizer.from_file(tmp_path, rules())
