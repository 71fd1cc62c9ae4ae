"""A glossary gives the model sentences it can read and leaves the user his words."""

import pytest

from wordsight.data.glossary import with_glossary
from wordsight.data.labelled import read_labelled
from wordsight.errors import ConfigError

JA = {"割れ": {"": ("細い割れ",)}, "良品": {"": ("傷のない面", "なめらか")}}


def test_sentences_are_read_in_place_of_the_users_own():
    found = with_glossary(
        JA,
        {"細い割れ": ("a thin crack", "a broken line"), "傷のない面": ("a sound surface",)},
        where="f",
    )
    assert found["割れ"] == {"own": ("細い割れ",), "en": ("a thin crack", "a broken line")}
    assert found["良品"]["en"] == ("a sound surface", "なめらか"), "not in it: read as it stands"
    assert list(found) == ["割れ", "良品"]


def test_a_name_serves_where_no_sentence_is_in_the_glossary():
    found = with_glossary({"割れ": {}, "良品": JA["良品"]}, {
        "割れ": ("a crack",), "良品": ("a good part",),
    }, where="f")  # fmt: skip
    assert found["割れ"] == {"own": ("割れ",), "en": ("a crack",)}
    assert found["良品"]["en"] == ("a good part",)


def test_full_and_half_width_are_the_same_and_english_stays():
    found = with_glossary({"ﾜﾚ": {}}, {"ワレ": ("a crack",)}, where="f")
    assert found["ﾜﾚ"]["en"] == ("a crack",)
    kept = with_glossary(
        {"割れ": {"ja": ("細い割れ",), "en": ("a gap",)}}, {"細い割れ": ("a crack",)}, where="f"
    )
    assert kept["割れ"]["en"] == ("a gap",)


def test_an_entry_for_nothing_is_a_slip_of_the_pen():
    with pytest.raises(ConfigError, match=r"f: \[glossary\] '細い割' is neither") as caught:
        with_glossary(JA, {"細い割": ("a crack",)}, where="f")
    assert "細い割れ" in caught.value.hint


@pytest.mark.parametrize("value", ['""', "[]", "3", '["a", 2]'])
def test_a_damaged_glossary_is_refused(tmp_path, value):
    (tmp_path / "labels.csv").write_text("path,class\na.jpg,x\nb.jpg,y\n")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    path = tmp_path / "mine.toml"
    path.write_text(f'[set]\nimages = "labels.csv"\n[glossary]\nx = {value}\n')
    with pytest.raises(ConfigError, match="needs a sentence"):
        read_labelled(path)


def test_a_described_set_is_read_with_its_glossary(tmp_path):
    (tmp_path / "labels.csv").write_text("path,class\na.jpg,割れ\nb.jpg,良品\n", encoding="utf-8")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    path = tmp_path / "mine.toml"
    path.write_text(
        '[set]\nimages = "labels.csv"\n[glossary]\n"割れ" = "a crack"\n"良品" = ["good", "fine"]\n',
        encoding="utf-8",
    )
    pictures = read_labelled(path)
    assert set(pictures.class_names) == {"割れ", "良品"}
    assert pictures.words() == {"割れ": ("a crack",), "良品": ("good", "fine")}
