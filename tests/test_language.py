"""Both languages say the same things, and the right one is chosen."""

import re
import string
from pathlib import Path

import pytest

import wordsight
from wordsight.errors import ConfigError
from wordsight.language import LANGUAGES, Phrases, choose_language

JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
SOURCE = Path(wordsight.__file__).parent


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_phrases_with_the_same_placeholders():
    english, japanese = (Phrases.load(language).texts for language in LANGUAGES)
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        assert placeholders(text) == placeholders(japanese[key]), key
        assert "" not in placeholders(text), f"{key}: placeholders have names"


def test_every_phrase_is_text_in_its_own_language():
    english, japanese = (Phrases.load(language).texts for language in LANGUAGES)
    for key, text in english.items():
        assert isinstance(text, str), key
        assert text.strip() == text != "", key
        assert text.isascii(), key
    words_alone = {key for key, text in japanese.items() if not JAPANESE.search(text)}
    assert words_alone <= {key for key in words_alone if placeholders(japanese[key])}, words_alone


def test_every_phrase_the_code_asks_for_exists():
    known = Phrases.load("en").texts
    asked = {
        key
        for path in SOURCE.rglob("*.py")
        for key in re.findall(r'phrases\(\s*"([a-z_.0-9]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 30
    assert asked <= known.keys()


def test_a_phrase_is_filled_in_and_braces_of_a_value_are_left_alone():
    phrases = Phrases("en", {"greeting": "{n:,} pictures of {name}"})
    assert phrases("greeting", n=1234, name="{n} {0.__class__}") == (
        "1,234 pictures of {n} {0.__class__}"
    )


def test_an_unknown_language_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigError, match="unknown language 'fr'") as caught:
        Phrases.load("fr")
    assert caught.value.hint == "known: en, ja"


def test_a_misspelt_key_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no phrase 'report\.foter' in ja\.toml") as caught:
        Phrases.load("ja")("report.foter")
    assert caught.value.hint == "did you mean 'report.footer'?"


def test_a_forgotten_value_is_refused():
    with pytest.raises(ConfigError, match=r"'report\.no_picture' needs a value for \{reason\}"):
        Phrases.load("en")("report.no_picture")


@pytest.mark.parametrize(
    ("requested", "environ", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "ja_JP.UTF-8"}, "ja"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {"LANG": "C"}, "en"),
        (None, {"LANG": "de_DE", "WORDSIGHT_LANG": "ja"}, "ja"),
        (None, {"LANG": "ja_JP", "WORDSIGHT_LANG": ""}, "ja"),
        ("en", {"LANG": "ja_JP", "WORDSIGHT_LANG": "ja"}, "en"),
        ("ja-JP", {}, "ja"),
        (" JA ", {}, "ja"),
    ],
)
def test_the_option_wins_over_the_variable_over_the_machine(requested, environ, language):
    assert choose_language(requested, environ) == language


@pytest.mark.parametrize(
    ("requested", "environ", "source"),
    [("jp", {}, "--lang"), (None, {"WORDSIGHT_LANG": "jp"}, "WORDSIGHT_LANG")],
)
def test_a_language_that_was_asked_for_and_is_not_spoken_is_an_error(requested, environ, source):
    with pytest.raises(ConfigError, match=f"{source}: unknown language 'jp'") as caught:
        choose_language(requested, environ)
    assert "known: en, ja" in caught.value.hint or "'ja'" in caught.value.hint
