"""Cleaning is what the published models did, and the short cut for plain ASCII changes nothing."""

import html
import re

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.text.clean import clean

PIECES = [
    "&lt;",
    "&amp;amp;",
    "&#28;",
    "&#xD800;",
    "â€œ",
    "Ã©",
    "ﬁ",
    "ＦＵＬＬ",
    "\x1b[31m",
    "\r\n",
]
TEXT = (
    st.text()
    | st.text(st.characters(max_codepoint=0x7F))
    | st.lists(st.sampled_from(PIECES) | st.text(max_size=4)).map("".join)
)


def as_openai_wrote_it(text: str) -> str:
    """The three lines of clip/simple_tokenizer.py, spelled out."""
    regex = pytest.importorskip("regex")
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return regex.sub(r"\s+", " ", text).strip().lower()


@settings(max_examples=1000, deadline=None)
@given(TEXT)
def test_openai_cleaning_is_openais(text):
    assert clean(text, "openai") == as_openai_wrote_it(text)


@settings(max_examples=500, deadline=None)
@given(TEXT)
def test_siglip_cleaning_is_open_clips_canonicalize(text):
    canonicalize = pytest.importorskip("open_clip.tokenizer").get_clean_fn("canonicalize")
    assert clean(text, "siglip") == canonicalize(text)


def test_every_ascii_character_is_cleaned_as_openai_does_alone_and_inside_a_word():
    for code in range(128):
        for text in (chr(code), f"a{chr(code)}b", f"A {chr(code)} B", f"{chr(code)}{chr(code)}lt;"):
            assert clean(text, "openai") == as_openai_wrote_it(text), ascii(text)


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_the_short_cut_is_taken_only_where_ftfy_and_html_change_nothing(text):
    plain = text.replace("&", "+")
    assert html.unescape(ftfy.fix_text(plain)) == plain


def test_cleaning_none_returns_the_text_itself():
    assert clean("  Ａ &amp; b ", "none") == "  Ａ &amp; b "


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A  Photo_of\ta\ncat!", "a photo_of a cat!"), ("AT&amp;amp;T", "at&t"), ("ＯＫ", "ok")],
)
def test_examples(text, expected):
    assert clean(text, "openai") == expected
    assert not re.search(r"\s\s", clean(text, "openai"))
