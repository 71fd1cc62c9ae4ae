"""classes.toml: what is written is read, in every language; what is not of its form is named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordsight.data.class_file import KEYS, parse_classes, read_class_file
from wordsight.errors import ConfigError

FULL = """
[classes]
sound = "a smooth surface"
[classes.crack]
en = ["a thin dark crack", "a broken line"]
ja = "細く黒いひび"
[classes.dent]
any = ["凹み dent"]

[templates]
en = ["a photo of {}."]
ja = ["{}の写真", "{}"]

[hierarchy]
damage = ["crack", "dent"]

[none]
en = ["an empty table"]
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "classes.toml"
    path.write_text(text, encoding="utf-8")
    return read_class_file(path)


def test_everything_is_read_in_each_language(tmp_path: Path):
    found = read(tmp_path, FULL)
    assert found.sentences("en") == {
        "sound": ["a smooth surface"],
        "crack": ["a thin dark crack", "a broken line"],
        "dent": ["凹み dent"],
    }
    assert found.sentences("ja")["crack"] == ["細く黒いひび"]
    assert found.sentences("de")["crack"] == ["a thin dark crack", "a broken line"]
    assert found.templates_in("ja") == ["{}の写真", "{}"]
    assert found.templates_in("en") == ["a photo of {}."]
    assert found.hierarchy == {"damage": ("crack", "dent")}
    assert found.none_in("ja") == ["an empty table"]


def test_names_alone_leave_the_templates_to_the_model(tmp_path: Path):
    found = read(tmp_path, 'classes = ["cat", "dog"]\n')
    assert found.sentences("en") == ["cat", "dog"]
    assert found.templates_in("en") is None
    assert found.none_in("en") == []


def test_sentences_of_one_language_only_are_taken_in_any(tmp_path: Path):
    found = read(tmp_path, '[classes.a]\nko = "x"\n[classes.b]\nko = "y"\n')
    assert found.sentences("ja") == {"a": ["x"], "b": ["y"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a table"),
        ("[class]\na = 'x'\n", "unknown key 'class'"),
        ("classes = 3\n", "expected a table"),
        ("classes = ['a', 'a']\n", "class 'a' is given twice"),
        ("classes = []\n", "needs a sentence"),
        ("[classes]\na = []\n", "'a' needs a sentence"),
        ("[classes]\na = ['x', 3]\n", "'a' needs a sentence"),
        ("[classes]\na = ' '\n", "'a' needs a sentence"),
        ("[classes.a]\nenglish = 'x'\n", "'english' is no language"),
        ("[classes]\na = 'x'\n[templates]\nen = ['x']\n", "templates en: template 'x' must hold"),
        ("templates = ['{} {}']\nclasses = ['a', 'b']\n", "templates any: template"),
        ("[classes]\na = 'x'\n[templates]\ntemplates = ['{}']\n", "is no language"),
        ("[classes]\na = 'x'\n[hierarchy]\ng = ['b']\n", "'b' in 'g' is neither a class"),
        ("hierarchy = 3\n[classes]\na = 'x'\n", "expected a table"),
        ("[classes]\na = 'x'\n[none]\nen = []\n", "none: en needs a sentence"),
        ("[classes\n", "not valid TOML"),
    ],
)
def test_what_is_not_of_the_form_is_named_with_its_file(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "classes.toml" in str(caught.value)


def test_other_tables_of_a_larger_file_are_left_alone():
    tables = {"set": {"images": "x"}, "classes": ["a", "b"]}
    assert list(parse_classes(tables, where="set.toml").classes) == ["a", "b"]
    assert parse_classes({}, where="set.toml").classes == {}


scraps = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("{}"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["en", "any", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYS), scraps))
def test_any_content_is_read_or_refused_by_name(tables: dict[str, Any]):
    try:
        found = parse_classes(tables, where="c.toml")
    except ConfigError as error:
        assert "c.toml" in str(error)
        return
    for language in ("en", "ja"):
        sentences = found.sentences(language)
        assert list(sentences) == list(found.classes)
        assert found.templates_in(language) is None or found.templates_in(language)
