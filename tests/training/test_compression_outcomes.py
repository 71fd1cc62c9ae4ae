"""Compressions that are killed, refused, or told of pictures that cannot be used."""

import csv
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import compression_world as world
import pytest
import small_runs
from compression_world import QUICK, SMALL

import wordsight as ws
import worlds
from wordsight.cli import main
from wordsight.commands.compress import compress
from wordsight.errors import (
    BundleError,
    BusyError,
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    TrainingError,
)
from wordsight.locks import locked
from wordsight.training.compression.config import CompressConfig


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORDSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_parent(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return world.write_student(tmp_path_factory.mktemp("student"))


def test_a_killed_compression_ends_with_the_same_bytes(start, pictures, tmp_path):
    outs = [tmp_path / "whole", tmp_path / "killed"]

    def work(out: Path) -> None:
        compress(start, pictures, out=out, keep=0.5, **QUICK)

    work(outs[0])
    child = small_runs.in_child(lambda: work(outs[1]))
    small_runs.kill_after(child, tmp_path / "killed.run" / "metrics.jsonl", 6)
    assert not outs[1].exists()
    work(outs[1])
    for name in ("model.safetensors", "image.onnx", "text.onnx"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    metrics = [out.with_name(f"{out.name}.run") / "metrics.jsonl" for out in outs]
    assert metrics[0].read_bytes() == metrics[1].read_bytes()
    with pytest.raises(TrainingError, match="learning_rate"):
        compress(start, pictures, out=outs[0], keep=0.5, learning_rate=0.5, **QUICK)


def test_pictures_that_are_there_twice_or_cannot_be_read_are_counted(
    start, pictures, student, tmp_path
):
    folder = tmp_path / "heap"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.png").write_bytes((pictures / f"{number}.png").read_bytes())
    (folder / "copy.png").write_bytes((pictures / "3.png").read_bytes())
    (folder / "torn.png").write_bytes((pictures / "50.png").read_bytes()[:60])
    with pytest.raises(DataError, match="1 pictures cannot be read, allowed are 0"):
        compress(start, folder, out=tmp_path / "out", student=student, **QUICK)
    outcome = compress(
        start, folder, out=tmp_path / "out2", student=student, max_bad=1, **QUICK
    ).outcome
    assert (outcome.num_repeated, len(outcome.unreadable)) == (1, 1)
    assert "torn.png" in outcome.unreadable[0]
    assert outcome.learnt_from + outcome.learnt.agreement.n == 40


def test_a_classifier_that_was_learnt_on_the_parent_goes_along(start, pictures, student, tmp_path):
    table = tmp_path / "parts.csv"
    rows = [(str(pictures / f"{n}.png"), ("even", "odd")[n % 2]) for n in range(24)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class"), *rows])
    ws.adapt(table, out=tmp_path / "adapted", model=start)
    done = compress(tmp_path / "adapted", pictures, out=tmp_path / "out", student=student, **QUICK)
    classifier = done.bundle.classifier()
    assert classifier is not None
    assert list(classifier.words.names) == ["even", "odd"]


def test_orders_that_cannot_be_carried_out_are_refused_at_once(tiny, start, pictures, tmp_path):
    out, large = tmp_path / "out", tmp_path / "large.toml"
    large.write_text(SMALL.replace("width = 16", "width = 512").replace("= 24", "= 64"))
    graphs = world.graphs_only(tiny, tmp_path / "graphs")
    with pytest.raises(ConfigError, match="nothing says what the small model shall be"):
        compress(start, pictures, out=out)
    with pytest.raises(InputError, match="is the parent itself"):
        compress(start, pictures, out=start, keep=0.5)
    with pytest.raises(ConfigError, match="give one of the two"):
        compress(start, pictures, out=out, student="tiny-rn-64", keep=0.5)
    with pytest.raises(ConfigError, match="remove nothing"):
        compress(start, pictures, out=out, keep=0.999)
    with pytest.raises(InputError, match="no smaller than"):
        compress(start, pictures, out=out, student=str(large))
    with pytest.raises(InputError, match="not the name of a known architecture"):
        compress(start, pictures, out=out, student="tiny-rn-65")
    with pytest.raises(InputError, match="pools by attention"):
        compress(start, pictures, out=out, student="ViT-B-16-SigLIP")
    with pytest.raises(CheckpointError, match="its towers are graphs"):
        compress(graphs, pictures, out=out, keep=0.5)
    with pytest.raises(CheckpointError, match="only vision transformers can be pruned"):
        compress(tiny / "tiny", pictures, out=out, keep=0.5)
    with pytest.raises(ConfigError, match="takes no steps"):
        compress(start, pictures, out=out, student="tiny-rn-64", epochs=0)
    with pytest.raises(InputError, match="no pictures are given"):
        compress(start, [], out=out, keep=0.5)
    with pytest.raises(InputError):
        compress(start, tmp_path / "nowhere", out=out, keep=0.5)
    few = tmp_path / "few"
    few.mkdir()
    worlds.draw("circle", "red", 0).save(few / "1.png")
    with pytest.raises(DataError, match="expected at least 32"):
        compress(start, few, out=out, keep=0.5)
    with pytest.raises(InputError, match="cannot be read as text"):
        compress(start, pictures, out=out, keep=0.5, sentences=tmp_path / "none.txt")
    assert not out.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"keep": 0.0},
        {"keep_layers": 1.5},
        {"features": 0.0, "similarities": 0.0, "decisions": 0.0},
        {"features": -1.0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"epochs": -1.0},
        {"held_out": 1.0},
        {"warmup": 2.0},
        {"shift": 0.6},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        CompressConfig(**given)


def test_a_second_process_and_other_folders_are_refused(start, pictures, tmp_path):
    out = tmp_path / "out"
    with locked(tmp_path / "out.run"), pytest.raises(BusyError, match="another process"):
        compress(start, pictures, out=out, keep=0.5, **QUICK)
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(BundleError, match="will not be replaced"):
        compress(start, pictures, out=mine, keep=0.5)


def test_a_loss_that_is_no_number_stops_the_run(start, pictures, student, tmp_path):
    with pytest.raises(TrainingError, match="not a number to learn from"):
        compress(
            start,
            pictures,
            out=tmp_path / "out",
            student=student,
            learning_rate=1e30,
            clip_gradient=0.0,
            **QUICK,
        )
    assert not (tmp_path / "out").exists()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["wordsight", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
        main()


def test_the_command_says_what_was_lost(start, pictures, student, tmp_path, monkeypatch, capsys):
    out, settings = tmp_path / "out", tmp_path / "quick.toml"
    settings.write_text("batch_size = 16\nbank = 8\n")
    arguments = ["compress", start, "--pictures", pictures, "--out", out, "--student", student]
    arguments += ["--steps", 4, "--config", settings, "--lang", "ja"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *arguments)
    assert stop.value.code == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "コサイン" in said
    assert "n=6" in said
    results = json.loads((out / "run" / "results.json").read_text())
    assert results["steps"] == 4


def test_the_command_refuses_in_one_line(start, pictures, tmp_path, monkeypatch, capsys):
    arguments = ["compress", start, "--pictures", pictures, "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "nothing says what the small model shall be" in said
    assert "hint: name a student" in said
    assert "Traceback" not in said
