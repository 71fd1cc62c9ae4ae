"""Pages are well-formed whatever the text in them, and never leave the machine."""

import pytest
from html_checks import Structure, check_page
from hypothesis import given
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.report.page import Markup, escape, group, page, picture, tag, words

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=http://evil.example/x.png>",
    "\" onmouseover='alert(1)",
    "]]> --> <!-- &amp; &#x3c;",
    "\u202egnp.exe",
    "NUL \x00 and \x1b[31m red",
    "half a pair \ud83d",
    "\u05d0\u05d1 \u0639\u0631\u0628\u064a mixed",
]


def test_an_element_is_what_its_docstring_says():
    assert tag("p", "a < b", class_="note") == '<p class="note">a &lt; b</p>'
    assert tag("img", src="data:image/png;base64,AA==", alt="x", hidden=True) == (
        '<img src="data:image/png;base64,AA==" alt="x" hidden>'
    )
    assert group("a&b", Markup("<br>"), None, 3, ["x", ["<"]]) == "a&amp;b<br>3x&lt;"
    assert tag("g", aria_label="a", title=None, open=False) == '<g aria-label="a"></g>'


@given(st.text())
def test_any_text_comes_back_from_the_parser_as_text(text):
    parsed = Structure(tag("p", words(text), title=text))
    assert [name for name, _ in parsed.elements] == ["p", "bdi"]
    shown = "".join(parsed.text)
    expected = Structure(f"<i>{escape(text)}</i>")
    assert shown == "".join(expected.text)
    kept = [c for c in text if c.isprintable() and c not in "\ufffd"]
    assert [c for c in shown if c.isprintable() and c not in "\ufffd"] == kept


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_everywhere_on_a_page(text):
    source = page(text, tag("h1", text), tag("p", words(text), title=text), language="en")
    parsed = check_page(source)
    source.encode("utf-8")
    assert len(parsed.all("img")) == 0
    assert parsed.all("p") == [{"title": "".join(Structure(escape(text)).text)}]


@pytest.mark.parametrize(
    "place", ["https://evil.example/x.png", "//evil.example", "javascript:alert(1)", "x.png"]
)
def test_nothing_outside_the_page_can_be_linked_or_shown(place):
    with pytest.raises(InputError, match="leads outside the page"):
        tag("a", "x", href=place)
    with pytest.raises(InputError, match="leads outside the page"):
        picture(place, "x")


def test_a_picture_that_is_not_there_shows_why():
    assert "cut &lt;short&gt;" in picture(None, "a.jpg", reason="cut <short>")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_page_states_its_language(language):
    parsed = check_page(page("t", tag("p", "x"), language=language))
    assert parsed.all("html") == [{"lang": language}]
