"""The report of a training run says how it learnt, in both languages, whatever the run left."""

import json
import math
from pathlib import Path

import pytest
from html_checks import check_page
from PIL import Image

from wordsight.config import to_dict
from wordsight.errors import InputError
from wordsight.language import Phrases
from wordsight.metrics import wilson
from wordsight.report.train import write_train_report
from wordsight.report.train_curves import MOST_POINTS, thinned
from wordsight.report.train_run import is_train_run, read_train_run

HOSTILE = "<script>alert(\"x\")</script> 'q' \u202egnp.exe"
CONFIG = {"architecture": "tiny-vit-64", "batch_size": 32, "data": "ab", "loss": "info_nce"}


def step(number: int, loss: float) -> dict:
    return {
        "step": number,
        "loss": loss,
        "scale": 14.3,
        "gradient_norm": math.inf,
        "learning_rate": 1e-4,
    }


def scores(number: int, hits: int, n: int = 400) -> dict:
    names = ("image_to_text_r1", "text_to_image_r1", f"{HOSTILE}_accuracy", "b_accuracy", "c")
    return {"step": number, "scores": {name: to_dict(wilson(hits, n)) for name in names}}


def write_run(folder: Path, lines: list[dict], **files: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "environment.json").write_text(json.dumps({"torch": "2"}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def page_of(run: Path, language: str = "en"):
    path = write_train_report(run, phrases=Phrases.load(language))
    return check_page(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with everything in it."""
    folder = write_run(
        tmp_path / "run",
        [step(1, 3.5), scores(1, 40), step(2, 3.0), step(3, 2.25), scores(3, 120)],
        samples=[
            {
                "image": "samples/0.jpg",
                "name": HOSTILE,
                "truth": ["a cat"],
                "best": [{"text": "a cat", "score": 0.31, "is_match": True}],
            }
        ],
        findings=[
            {"level": "ok", "code": "a", "text": "nothing to see", "advice": "", "step": 0},
            {"level": "warn", "code": "b", "text": "few captions", "advice": "add some", "step": 0},
            {"level": "stop", "code": "c", "text": HOSTILE, "advice": "", "step": 3},
        ],
    )
    (folder / "samples").mkdir()
    Image.new("RGB", (40, 30), "red").save(folder / "samples" / "0.jpg")
    (folder / "rejected.jsonl").write_text(
        json.dumps({"name": "bad.png", "reason": "not a picture"}) + "\n"
    )
    (folder / "rows_rejected.jsonl").write_text(
        json.dumps({"source": "t.csv", "row": 7, "reason": "no such picture", "value": "x"}) + "\n"
    )
    (folder / "model").mkdir()
    (folder / "model" / "SHA256SUMS").touch()
    return folder


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_holds_scores_curves_samples_findings_and_what_was_rejected(run, language):
    page = page_of(run, language)
    assert "30.0 %" in page.words  # 120 of 400, the last evaluation
    assert "3.50" in page.words
    assert "2.25" in page.words
    assert "few captions add some" in page.words
    assert "nothing to see" not in page.words
    assert "bad.png" in page.words
    assert "t.csv: 7" in page.words
    assert len(page.all("img")) == 1
    assert len(page.all("svg")) > len(page.all("figure")) == 6  # loss, scale, rate, 3 of scores
    assert [item["class"] for item in page.all("li", "stop")] == ["stop"]


def test_a_run_that_is_not_over_has_a_report_that_says_so(tmp_path):
    page = page_of(write_run(tmp_path / "run", [step(1, 3.5)]))
    assert "stands at step 1" in page.words
    assert "Nothing was held out" in page.words


def test_a_line_that_a_killed_run_did_not_end_is_left_out(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [one.step for one in read_train_run(run).steps] == [1, 2, 3]


def test_a_score_that_fell_clearly_is_pointed_out(tmp_path):
    lines = [step(1, 3.5), scores(1, 300), step(2, 3.4), scores(2, 100)]
    assert "fell clearly" in page_of(write_run(tmp_path / "fell", lines)).words
    lines[-1] = scores(2, 295)
    assert "fell clearly" not in page_of(write_run(tmp_path / "held", lines)).words


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", "", "holds no steps"),
        ("metrics.jsonl", "[1]\n", "line 1: expected an object"),
        ("metrics.jsonl", '{"step": 1, "loss": "x"}\n', "line 1: loss"),
        ("metrics.jsonl", '{"step": 1, "scores": {"a": {"value": 2}}}\n', "line 1"),
        ("config.json", "{", "not valid JSON"),
        ("samples.json", "{}", "expected a list of objects"),
        ("findings.json", '[{"level": "loud", "text": ""}]', "level"),
    ],
)
def test_a_damaged_file_is_named(run, name, content, message):
    (run / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_train_run(run)
    assert name in str(caught.value)


def test_long_curves_are_thinned_to_means_that_keep_the_mean():
    points = [(float(x), math.sin(x)) for x in range(10 * MOST_POINTS)]
    found = thinned(points)
    assert len(found) == MOST_POINTS
    assert found[-1][0] == points[-1][0]
    mean = sum(y for _, y in points) / len(points)
    assert sum(y for _, y in found) / len(found) == pytest.approx(mean)
    assert thinned(points[:7]) == points[:7]


def test_only_runs_of_train_are_taken_for_such(run, tmp_path):
    assert is_train_run(run)
    assert not is_train_run(tmp_path)
    (run / "config.json").write_text(json.dumps({"image_tower": "mini"}))
    assert not is_train_run(run)
    (run / "config.json").write_text("[]")
    assert not is_train_run(run)
