"""`wordsight train` and `wordsight runs`: what they print, write and refuse."""

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import small_runs
from rich.console import Console

import wordsight as ws
import worlds
from wordsight.cli import main
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import ConfigError
from wordsight.terminal import Terminal

SETTINGS = {"batch_size": 16, "held_out": 0.2, "epochs": 1.0, "max_bad": 1}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "start")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pairs, and a row without its picture."""
    folder = worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 60)
    (table,) = folder.glob("*.csv")
    with table.open("a") as file:
        file.write("gone.png,a picture that is gone\n")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, world: Path, start: Path) -> Path:
    """Two finished runs that differ in two settings."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, rate in ((1, 1e-3), (2, 2e-3)):
        ws.train(
            world,
            out=folder / f"run-{seed}",
            start=str(start),
            seed=seed,
            learning_rate=rate,
            device="cpu",
            **SETTINGS,
        )
    return folder


@pytest.fixture
def wordsight(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wordsight", *map(str, arguments)])
        monkeypatch.setenv("WORDSIGHT_LANG", "en")
        monkeypatch.setenv("COLUMNS", "200")
        code: Any = 0
        try:
            with warnings.catch_warnings():  # cyclopts suspects a test that passes no arguments
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without")
                main()
        except SystemExit as end:
            code = end.code or 0
        found = capsys.readouterr()
        assert "Traceback" not in found.err + found.out
        return code, found.out, found.err

    return run


def test_a_finished_run_has_a_report_samples_and_a_list_of_what_was_rejected(runs: Path):
    run = runs / "run-1"
    page = (run / "report.html").read_text(encoding="utf-8")
    samples = json.loads((run / "samples.json").read_text())
    assert page.count("<img ") == len(samples) == len(list((run / "samples").iterdir())) > 1
    [row] = map(json.loads, (run / "rows_rejected.jsonl").read_text().splitlines())
    assert row["value"] == "gone.png"
    assert row["reason"] in page


def test_samples_rank_the_sentences_as_the_written_model_does(runs: Path, world: Path):
    run = runs / "run-1"
    model = ws.load(run / "model", engine="torch")
    texts = sorted(set(read_pairs(world, max_bad=1).texts))
    embedded = model.encode_text(texts)
    for sample in json.loads((run / "samples.json").read_text()):
        [image] = model.encode_image([world / sample["name"]])
        cosines = dict(zip(texts, (embedded @ image).tolist(), strict=True))
        shown = sample["best"]
        for match in shown:
            assert match["score"] == pytest.approx(cosines[match["text"]], abs=2e-4)
            assert match["is_match"] == (match["text"] in sample["truth"])
        assert [one["score"] for one in shown] == sorted((s["score"] for s in shown), reverse=True)


def test_the_command_prints_one_object_and_goes_on_to_the_same(
    wordsight: Any, world: Path, start: Path, tmp_path: Path
):
    options = tmp_path / "options.toml"
    options.write_text("held_out = 0.2\nmax_bad = 1\nbatch_size = 8\ncrop = 'none'\n")
    command = (
        "train", world, "--out", tmp_path / "run", "--config", options, "--start", start,
        "--batch-size", 16, "--epochs", 1, "--measure", f"shapes={world}", "--json",
    )  # fmt: skip
    code, out, err = wordsight(*command)
    assert code in (0, 1), err  # the doctor may find so little learning useless
    found = json.loads(out)
    assert code == any(one["level"] == "stop" for one in found["findings"])
    assert found["scores"]["shapes_accuracy"]["n"] == 60
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["batch_size"], config["crop"]) == (16, "none")  # options win over the file
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert wordsight(*command)[1] == out
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics
    code, _, err = wordsight(*command, "--seed", 5)
    assert code == 2
    assert "begun with seed = 0, not 5" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "smok"), "did you mean 'smoke'"),
        (("--architecture", "tiny-vit-65"), "tiny-vit-65"),
        (("--epochs", "-1"), "epochs must be above 0"),
        (("--measure", "shapes"), "is not NAME=PATH"),
        (("--measure", "a=x", "--measure", "a=y"), "is not NAME=PATH"),
        (("--measure", "a=nowhere.csv"), "nowhere.csv"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    options: tuple[str, ...], message: str, wordsight: Any, world: Path, tmp_path: Path
):
    toml = tmp_path / "few.toml"
    toml.write_text("max_bad = 1\n")
    code, out, err = wordsight(
        "train", world, "--out", tmp_path / "run", "--config", toml, *options
    )
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_unknown_setting_is_refused_with_the_nearest(world: Path, tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        ws.train(world, out=tmp_path / "run", learning_rat=1.0)
    assert "learning_rate" in caught.value.hint


def test_steps_are_counted_and_said_with_loss_and_scale(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 40)
    counted: list[tuple[str, int, int]] = []
    said: list[Any] = []
    trained = ws.train(
        PairExamples(read_pairs(world)),
        out=tmp_path / "run",
        progress=lambda *step: counted.append(step),
        on_step=lambda line, of: said.append((line, of)),
        start=str(start),
        **SETTINGS,
    )
    assert counted == [("steps", n + 1, trained.num_steps) for n in range(trained.num_steps)]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [line for line, _ in said] == [json.loads(line) for line in lines]


def test_runs_are_compared_in_what_differs(runs: Path, wordsight: Any):
    code, out, _ = wordsight("runs", runs, "--json")
    assert code == 0
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["run"], second["run"]) == ("run-1", "run-2")
    assert first["differs"] == {"learning_rate": "0.001", "seed": "1"}
    assert second["differs"] == {"learning_rate": "0.002", "seed": "2"}
    lines = [json.loads(x) for x in (runs / "run-1" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert first["steps"] == len(losses)
    assert first["loss"] == losses[-1]  # a tenth of a few steps is the last one
    recalls = [line["scores"]["image_to_text_r1"] for line in lines if "scores" in line]
    assert first["best"]["image_to_text_r1"] == max(recalls, key=lambda score: score["value"])
    code, out, _ = wordsight("runs", runs)
    assert code == 0
    assert "learning_rate = 0.002" in out
    assert "unfinished" not in out


def test_a_run_that_is_not_over_is_listed_and_other_folders_are_not(
    runs: Path, wordsight: Any, tmp_path: Path
):
    (tmp_path / "a").mkdir()
    for name in ("config.json", "environment.json", "metrics.jsonl"):
        (tmp_path / "a" / name).write_bytes((runs / "run-1" / name).read_bytes())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_text("{}\n")
    assert "(unfinished)" in wordsight("runs", tmp_path)[1]
    (tmp_path / "a" / "metrics.jsonl").write_text("")
    code, out, _ = wordsight("runs", tmp_path)
    assert code == 0
    assert "No run of wordsight train" in out
    code, _, err = wordsight("runs", tmp_path / "nowhere")
    assert code == 2
    assert "there is no such folder" in err


def test_the_bar_shows_samples_a_second_loss_and_scale(monkeypatch: pytest.MonkeyPatch):
    watched = io.StringIO()
    monkeypatch.setattr(watched, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setenv("COLUMNS", "120")
    with Terminal.open("en").progress() as progress:
        for step in range(1, 6):
            progress("steps", step, 5, each=32, note=f"loss 2.{step}")
        progress("pictures", 3, 3)
    shown = watched.getvalue()
    assert "loss 2.5" in shown
    assert "5/5" in shown
    assert "Pictures" in shown
    assert Console(file=watched).is_terminal
