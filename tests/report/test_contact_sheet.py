"""The contact sheet shows every picture once, under its label."""

import base64
import io

import pytest
from html_checks import check_page
from PIL import Image

from wordsight.errors import InputError
from wordsight.language import Phrases
from wordsight.report import contact_sheet
from wordsight.report.contact_sheet import SheetRow, write_contact_sheet


def data_uri(grey=128):
    file = io.BytesIO()
    Image.new("L", (8, 6), grey).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def row(name, label, share, **more):
    return SheetRow(name, data_uri(), label, [(label, share), ("other", 1 - share)], **more)


def write(tmp_path, rows, labels, language="en", title="Photos"):
    path = tmp_path / "sheet.html"
    write_contact_sheet(path, rows, title=title, phrases=Phrases.load(language), labels=labels)
    return check_page(path.read_text(encoding="utf-8"))


def test_pictures_stand_under_their_label_the_most_certain_first(tmp_path):
    rows = [row("a.jpg", "crack", 0.6), row("b.jpg", "good", 0.7), row("c.jpg", "crack", 0.9)]
    sheet = write(tmp_path, rows, ["good", "crack", "hole"])
    assert [image["alt"] for image in sheet.all("img")] == ["b.jpg", "c.jpg", "a.jpg"]
    assert "All 3 good 1 crack 2 hole 0" in sheet.words
    widths = [bar["style"] for bar in sheet.all("i")]
    assert widths == [f"width:{w}.0%" for w in (70, 30, 90, 10, 60, 40)]


@pytest.mark.parametrize(("language", "word"), [("en", "Unreadable"), ("ja", "読めない画像")])
def test_pictures_that_cannot_be_read_are_listed_with_the_reason(tmp_path, language, word):
    rows = [row("a.jpg", "good", 0.6), SheetRow("b.jpg", None, reason="cut short at byte 812")]
    sheet = write(tmp_path, rows, ["good"], language)
    assert f"{word} 1" in sheet.words
    assert "b.jpg cut short at byte 812" in sheet.words
    assert len(sheet.all("img")) == 1


@pytest.mark.parametrize(
    "text", ["<script>x</script>", "' onload='x", "\u202egpj.exe", "a\x00b", "\udc80bad name.jpg"]
)
def test_hostile_names_and_labels_stay_text(tmp_path, text):
    sheet = write(tmp_path, [row(text, text, 0.5), SheetRow(text, None, reason=text)], [text])
    assert len(sheet.all("img")) == 1


def test_four_hundred_pictures_of_twenty_labels_fit(tmp_path):
    labels = [f"label {i}" for i in range(20)]
    rows = [row(f"{i}.jpg", labels[i % 20], i / 400) for i in range(400)]
    sheet = write(tmp_path, rows, labels)
    assert len(sheet.all("img")) == 400
    assert len(sheet.all("section")) == 20


def test_beyond_the_limit_all_are_counted_and_the_page_says_how_many_are_drawn(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(contact_sheet, "MAX_PICTURES", 3)
    sheet = write(tmp_path, [row(f"{i}.jpg", "good", 0.5) for i in range(5)], ["good"])
    assert len(sheet.all("img")) == 3
    assert "counts are of all 5 pictures; the first 3 are drawn" in sheet.words
    assert "good 5" in sheet.words


def test_only_the_best_few_labels_are_drawn_as_bars(tmp_path):
    scores = [(f"l{i}", i / 100) for i in range(30)]
    sheet = write(tmp_path, [SheetRow("a", data_uri(), "l29", scores)], [n for n, _ in scores])
    assert len(sheet.all("i")) == 5
    assert "l29 29.0 % l28 28.0 %" in sheet.words


def test_an_empty_sheet_is_a_page_too(tmp_path):
    assert "Pictures: 0" in write(tmp_path, [], ["good"]).words


def test_a_label_that_is_not_listed_is_refused_and_the_old_page_stays(tmp_path):
    (tmp_path / "sheet.html").write_text("old")
    with pytest.raises(InputError, match=r"a\.jpg: label 'godo' is not one") as caught:
        write(tmp_path, [row("a.jpg", "godo", 0.5)], ["good"])
    assert caught.value.hint == "did you mean 'good'?"
    assert (tmp_path / "sheet.html").read_text() == "old"


def test_a_picture_from_the_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="leads outside the page"):
        write(tmp_path, [SheetRow("a", "https://x.example/a.jpg", "good")], ["good"])
