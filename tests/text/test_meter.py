"""The token meter counts what a person counts by hand, and says only what hurts."""

import csv
import statistics
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.errors import TextError
from wordsight.text import Tokenizer, TokenizerRules, measure, script_of

NAMES = {
    "LATIN": "latin", "HIRAGANA": "japanese", "KATAKANA": "japanese", "CJK": "japanese",
    "HANGUL": "korean", "CYRILLIC": "cyrillic", "GREEK": "greek", "ARABIC": "arabic",
}  # fmt: skip
LETTERS = [
    chr(code)
    for code in range(0x30000)
    if (name := unicodedata.name(chr(code), "")) and name.split()[0] in NAMES
    if unicodedata.category(chr(code)) in ("Lu", "Ll", "Lt", "Lo")
]


def test_nearly_every_letter_is_in_the_script_its_unicode_name_says():
    wrong = [c for c in LETTERS if script_of(c) != NAMES[unicodedata.name(c).split()[0]]]
    assert len(LETTERS) > 80_000
    assert len(wrong) < 0.01 * len(LETTERS), [hex(ord(c)) for c in wrong[:20]]
    kana_kanji = {"HIRAGANA", "KATAKANA", "CJK"}  # the rest of `wrong` is phonetic or archaic
    assert not [c for c in wrong if unicodedata.name(c).split()[0] in kana_kanji and c < "\uffff"]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("A photo of a cat.", "latin"), ("Một cô gái đang chơi", "latin"), ("ＦＵＬＬ", "latin"),
        ("猫の写真", "japanese"), ("ｶﾒﾗ", "japanese"), ("カメラ", "japanese"), ("亀裂", "japanese"),
        ("NG品の表面に長い傷がある", "japanese"), ("고양이", "korean"), ("кошка", "cyrillic"),
        ("γάτα", "greek"), ("قطة", "arabic"), ("बिल्ली", "other"), ("แมว", "other"),
        ("123 !?", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_the_script_of_a_sentence(text, script):
    assert script_of(text) == script


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_has_a_script(text):
    assert script_of(text) in {*NAMES.values(), "other"}


def test_english_captions_need_no_finding(minilm, clip, shared):
    path = shared / "data" / "coco2k_captions" / "pairs.csv"
    with path.open(newline="", encoding="utf-8") as file:
        texts = [row["caption"] for row in csv.DictReader(file)]
    for tokenizer in (minilm, clip):
        meter = measure(tokenizer, texts)
        assert meter.findings() == []
        (latin,) = meter.scripts
        lengths = tokenizer.encode(texts).lengths - 2
        assert latin.num_texts == len(texts)
        assert latin.tokens_mean == pytest.approx(statistics.fmean(lengths))
        assert latin.tokens_max == max(lengths)
        assert latin.tokens_p95 == pytest.approx(
            statistics.quantiles(lengths, n=20, method="inclusive")[-1]
        )
        characters = sum(not c.isspace() for text in texts for c in text)
        assert latin.tokens_per_character == pytest.approx(sum(lengths) / characters, rel=0.01)
        assert latin.unknown_share == 0


def test_japanese_that_minilm_cannot_read_is_said_with_the_words(minilm):
    texts = ["亀裂 と 錆", "亀 a cat", "a dog runs", "the [UNK] is text"]
    meter = measure(minilm, texts)
    japanese = next(m for m in meter.scripts if m.script == "japanese")
    latin = next(m for m in meter.scripts if m.script == "latin")
    by_hand = [minilm.spell(c).ids == [100] for c in "亀裂と錆"]
    assert by_hand == [True, True, False, True]
    assert japanese.num_texts == 1  # the second sentence has more Latin letters
    assert japanese.unknown_share == 3 / 4
    assert set(japanese.unknown_words) == {"亀", "裂", "錆"}
    assert latin.num_texts == 3
    assert latin.unknown_words == ("亀",)
    assert latin.unknown_share == pytest.approx(1 / (3 + 3 + 6))
    assert [line for line in meter.findings() if line.startswith("75% of the words in your Japan")]
    assert "亀" in meter.findings()[-1] or "亀" in meter.findings()[0]


def test_truncated_sentences_are_said_with_their_share(minilm_json):
    rules = TokenizerRules(cleaning="none", context_length=5, pad_id=0, start_id=101, end_id=102)
    tokenizer = Tokenizer.from_file(minilm_json, rules)
    meter = measure(tokenizer, ["a cat", "a big red dog", "one two three", "a b c d e"])
    assert meter.scripts[0].truncated_share == 0.5
    (line,) = meter.findings()
    assert line.startswith("50% of your Latin sentences are longer than the 5 tokens")
    assert line.endswith("The longest has 5 tokens.")


def test_a_script_spelled_in_bytes_is_said(clip):
    meter = measure(clip, ["안전모를 쓴 사람", "a cat", "a dog"])
    assert [m.script for m in meter.scripts] == ["latin", "korean"]
    (line,) = meter.findings()
    assert line.startswith("Your Korean sentences take ")


def test_nothing_to_measure_is_refused(clip):
    with pytest.raises(TextError, match="no texts to measure"):
        measure(clip, [])
