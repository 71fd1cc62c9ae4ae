"""`wordsight evaluate` as people type it: tables, JSON, exit codes, both languages."""

import json
from pathlib import Path

import pytest

from wordsight.cli import app
from wordsight.errors import InputError

worlds = pytest.importorskip("worlds", reason="the drawn world needs torch")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for colour in ("red", "green"):
        (tmp_path / "colours" / colour).mkdir(parents=True)
        for number in range(6):
            place = tmp_path / "colours" / colour / f"{number}.png"
            worlds.draw("circle", colour, number).save(place)
    text = '[set]\nimages = "colours"\npositive = ["red"]\n[targets]\nrecall = {recall}\n'
    for name, recall in (("easy", 0.01), ("hard", 0.99)):
        (tmp_path / f"{name}.toml").write_text(text.replace("{recall}", str(recall)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*words: str) -> int:
    try:
        app(["evaluate", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_folder_is_measured_and_everything_is_written(here, tiny, capsys):
    assert run("colours", "--models", str(tiny / "tiny"), "--out", "out") == 0
    shown = capsys.readouterr().out
    assert "by words" in shown
    assert "n=12" in shown.replace("\n", "")
    assert (here / "out" / "report.html").is_file()
    assert len(list((here / "out" / "results").rglob("*.predictions.jsonl"))) == 1


def test_two_models_are_compared_and_japanese_is_spoken(here, tiny, bundle_copy, capsys):
    models = f"{tiny / 'tiny'},{bundle_copy}"
    assert run("colours", "--models", models, "--out", "out", "--lang", "ja") == 0
    shown = capsys.readouterr().out
    assert "正解率" in shown
    assert "示せない" in shown
    assert 'lang="ja"' in (here / "out" / "report.html").read_text(encoding="utf-8")


def test_json_holds_all_results(here, tiny, capsys):
    words = ("colours", "--models", str(tiny / "tiny"), "--out", "out", "--json")
    assert run(*words, "--method", "zero-shot") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["method"] for one in found["results"]] == ["zero-shot"]
    assert found["results"][0]["estimate"]["n"] == 12
    assert found["pictures_computed"] == 12
    assert found["failures"] == []


@pytest.mark.parametrize("name", ["easy", "hard"])
def test_the_exit_code_says_whether_the_target_is_met(here, tiny, capsys, name):
    code = run(f"{name}.toml", "--models", str(tiny / "tiny"), "--out", "out", "--json")
    found = json.loads(capsys.readouterr().out)
    verdicts = {one["verdict"] for one in found["results"]}
    assert code == (0 if verdicts == {"met"} else 1)
    if name == "hard":  # six pictures cannot prove 99 %
        assert code == 1


def test_a_layout_is_told_and_nothing_is_done(here, capsys):
    assert run("--layout", "mnist") == 0
    shown = capsys.readouterr().out
    assert "FOLDER/mnist/test/CLASS/picture.jpg" in shown
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "what is to be evaluated"),
        (("colours", "--out", "out"), "no model to evaluate"),
        (("paper", "--models", "mini", "--out", "out"), "Nothing is fetched"),
        (("gone", "--models", "mini", "--out", "out"), "no such file or folder"),
        (("--layout", "mnits"), "no data set 'mnits'"),
    ],
)
def test_what_is_missing_is_said(here, words, message):
    with pytest.raises(InputError) as caught:
        app(["evaluate", *words])
    assert message in str(caught.value)
