"""What makes the tokenizer fast changes no id: short cuts of cleaning, memory, rows."""

import html
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import ftfy
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tally import COUNT
from wordsight.errors import TextError
from wordsight.text import OPENAI_RULES, Tokenizer, TokenizerRules, word_memory
from wordsight.text.clean import clean, is_tidy
from wordsight.text.word_memory import WordMemory

PIECES = [
    "a", "A dog", " ", "  ", "'s", "&amp;", "&lt", "Ã©", "â€œ", "Âµ", "Ð¼Ð¸Ñ€", "ﬁ", "ＯＫ", "ﾃｽﾄ",
    "が", "か\u3099", "İ", "Σας", "Œ", "œ,", "ĳ", "ŉ", "ß", "à²", "é", "e\u0301", "một", "đường",
    "Привет", "вЂ", "שלום", "مرحبا", "한국어", "東京", "。", "、", "ー", "’", "“", "—", "€", "×²",
    "°", "\t", "\n", "\x85", "\xa0", "\u3000", "😀",
]  # fmt: skip
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
MIXED = st.lists(st.sampled_from(PIECES) | st.text(ANY, max_size=4), max_size=8).map("".join)
LETTERS = st.text(
    st.characters(codec="cp1252", categories=["L", "Zs", "P"])
    | st.characters(codec="cp1251", categories=["L"])
    | st.characters(codec="cp1258", categories=["L"])
    | st.characters(codec="shift_jis", categories=["L"])
    | st.sampled_from(" ąćęłńśźžőűřďăğİışœŒơưạảấầẩẫậắằẳẵặẹẻẽếềểễệ")
)


def as_openai_wrote_it(text: str) -> str:
    """The cleaning of clip/simple_tokenizer.py, with none of our short cuts."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"[\s\x1c-\x1f]+", " ", text).strip().lower()


def one_by_one(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Rows without memory and without arrays: each whole sentence through the Rust code."""
    rules = tokenizer.rules
    rows = []
    for text in texts:
        ids = tokenizer._backend._ids(
            as_openai_wrote_it(text) if rules.cleaning == "openai" else text
        )
        ids = ids[: rules.context_length - rules.num_added]
        before = [] if rules.start_id is None else [rules.start_id]
        after = [] if rules.end_id is None else [rules.end_id]
        rows.append(before + ids + after)
    width = rules.context_length if rules.pad_to_context else max(map(len, rows), default=0)
    return [row + [rules.pad_id] * (width - len(row)) for row in rows]


# Cleaning


@settings(max_examples=1500, deadline=None)
@given(MIXED | LETTERS | st.text(ANY))
@example("Ã©")
@example("à²")
def test_a_short_cut_of_cleaning_is_taken_only_where_it_changes_nothing(text):
    assert clean(text, "openai") == as_openai_wrote_it(text)
    if is_tidy(text):
        assert text.lower() == as_openai_wrote_it(text)


def test_every_character_is_cleaned_alone_and_between_others_as_without_short_cuts():
    """All of Unicode but surrogates: alone in a word, and beside letters of each larger script."""
    codes = [code for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    letters = [code for code in codes if code < 0x3100] + list(range(0x4E00, 0x4E80))
    for code in letters:
        for text in (f"a{chr(code)} ", f"é{chr(code)}É", f"東{chr(code)}か", f"Ð{chr(code)}€"):
            assert clean(text, "openai") == as_openai_wrote_it(text), ascii(text)
    for start in range(0, len(codes), 64):  # beyond, in lines: what is left alone, and what is not
        text = "x".join(map(chr, codes[start : start + 64]))
        assert clean(text, "openai") == as_openai_wrote_it(text), hex(codes[start])
    COUNT["characters cleaned"] += len(codes)


@pytest.mark.parametrize("text", ["", "a cat", "A Cat!", "don't", "~", "x" * 100_000])
def test_plain_captions_are_seen_as_tidy(text):
    assert is_tidy(text)


@pytest.mark.parametrize(
    "text",
    [" a", "a ", "a  b", "a\tb", "a\nb", "\x7f", "\0", "a&b", "é", "x" * 100_001, 3, None, b"cat"],
)
def test_what_needs_a_look_is_not_tidy(text):
    assert not is_tidy(text)


# Rows


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(MIXED | st.text("ab c'", max_size=200), max_size=6))
def test_a_batch_has_the_rows_of_its_sentences_one_by_one(clip, minilm, texts):
    for tokenizer in (clip, minilm):
        readable = [text for text in texts if tokenizer.spell(text).ids]
        tokens = tokenizer.encode(readable)
        expected = one_by_one(tokenizer, readable)
        assert tokens.ids.tolist() == expected
        for text, row, length in zip(readable, expected, tokens.lengths, strict=True):
            room = tokenizer.rules.context_length - tokenizer.rules.num_added
            assert length == min(len(tokenizer.spell(text).ids), room) + 2
            assert row[length - 1] == tokenizer.rules.end_id


@pytest.mark.parametrize("start", [None, 49406])
@pytest.mark.parametrize("end", [None, 49407])
@pytest.mark.parametrize("pad_to_context", [False, True])
def test_rows_of_any_rules_are_those_laid_out_by_hand(clip_json, start, end, pad_to_context):
    rules = TokenizerRules(cleaning="openai", context_length=6, pad_id=7, start_id=start,
                           end_id=end, pad_to_context=pad_to_context)  # fmt: skip
    tokenizer = Tokenizer.from_bytes(clip_json, rules)
    texts = ["a", "A  cat &amp; a dog on the road", "b c", "five words are cut here", "东京"]
    for batch in (texts, texts[:1], texts[::-1], []):
        tokens = tokenizer.encode(batch)
        assert tokens.ids.tolist() == one_by_one(tokenizer, batch)
        assert tokens.ids.dtype == np.int64
        assert tokens.ids.flags.c_contiguous


def test_portions_of_a_large_batch_leave_no_seam(clip, monkeypatch):
    texts = [f"photo {i} of a {'red ' * (i % 7)}car &amp; Été" for i in range(300)]
    whole = clip.encode(texts).ids
    for size in (1, 50, 999):
        monkeypatch.setattr(word_memory, "CHARACTERS_AT_ONCE", size)
        np.testing.assert_array_equal(clip.encode(texts).ids, whole)


def test_the_first_unreadable_text_of_a_batch_is_named(clip):
    with pytest.raises(TextError, match=r"text 2 is ' ': there is nothing to read"):
        clip.encode(["a", "b", " ", "c", ""])


# Memory


def letters_of(word: str) -> list[int]:
    return [ord(letter) for letter in word]


def test_a_word_is_cut_once_and_then_remembered():
    cut = []
    memory = WordMemory(lambda word: cut.append(word) or letters_of(word))
    for _ in range(3):
        flat, counts = memory.ids(["a b", "b  ab", ""])
        assert flat.tolist() == [97, 98, 98, 97, 98]
        assert counts.tolist() == [2, 3, 0]
    assert sorted(cut) == ["", "a", "ab", "b"]
    assert memory.words == {"", "a", "ab", "b"}


@pytest.mark.parametrize("limit", [2, 3, 10, 50])
def test_more_words_than_there_is_room_for_change_no_id(limit, monkeypatch):
    monkeypatch.setattr(word_memory, "MAX_WORDS", limit)
    memory = WordMemory(letters_of)
    for first in range(0, 60, 7):
        texts = [f"w{i} w{i + 1} {'long' * 20}" for i in range(first, first + 9)]
        flat, counts = memory.ids(texts)
        words = [text.split() for text in texts]
        assert flat.tolist() == [i for row in words for word in row for i in letters_of(word)]
        assert counts.tolist() == [sum(map(len, row)) for row in words]
        assert len(memory.words) <= limit
        assert all(len(word) <= word_memory.MAX_WORD_CHARACTERS for word in memory.words)


def test_many_threads_share_one_memory_that_is_always_overflowing(clip_json, monkeypatch):
    monkeypatch.setattr(word_memory, "MAX_WORDS", 40)
    interval = sys.getswitchinterval()
    tokenizer = Tokenizer.from_bytes(clip_json, OPENAI_RULES)
    batches = [[f"word{(i * 7 + j) % 90} and cat{i}" for j in range(30)] for i in range(60)]
    expected = [one_by_one(tokenizer, batch) for batch in batches]
    barrier = threading.Barrier(4)

    def work(_: int) -> bool:
        barrier.wait()
        return all(
            tokenizer.encode(batch).ids.tolist() == rows
            for batch, rows in zip(batches, expected, strict=True)
        )

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(tokenizer._backend.memory.words) <= 40
