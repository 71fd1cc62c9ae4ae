"""An evaluation goes on after a kill, notices what changed, and measures what it says."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wordsight
from wordsight.errors import BusyError, ConfigError, DataError, InputError
from wordsight.evaluation.results import (
    Result,
    predictions_path,
    read_predictions,
    read_result,
    read_results,
)
from wordsight.evaluation.run import Evaluation, evaluate
from wordsight.evaluation.suites import Suite, read_suite
from wordsight.locks import locked

worlds = pytest.importorskip("worlds", reason="the drawn world needs torch")
COLOURS = ("red", "green", "blue")


def draw_set(folder: Path, *, per_class: int = 6, parts: tuple[str, ...] = ("test",)) -> Path:
    for part in parts:
        for place, colour in enumerate(COLOURS):
            own = folder / part / colour if len(parts) > 1 else folder / colour
            own.mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                seed = 1000 * place + number + (500 if part == "train" else 0)
                picture = worlds.draw(worlds.SHAPES[number % 4], colour, seed)
                picture.save(own / f"{number}.png")
    return folder


def described(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return draw_set(tmp_path / "colours", parts=("train", "test"))


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Callable[..., Evaluation]:
    def run_suite(suite: Suite, out: str = "out", **options: object) -> Evaluation:
        model = str(tiny / "tiny")
        return evaluate(suite, [model], out=tmp_path / out, cache=tmp_path / "cache", **options)

    return run_suite


def files(out: Path) -> dict[str, bytes]:
    """Everything below a folder, but for the times it took."""
    found: dict[str, bytes] = {}
    for path in sorted(out.rglob("*.json*")):
        content = path.read_bytes()
        if path.suffix == ".json" and path.parent != out:
            values = json.loads(content)
            assert values.pop("seconds") >= 0
            content = json.dumps(values).encode()
        found[str(path.relative_to(out))] = content
    return found


def test_by_words_it_says_what_the_classifier_says(world, run, tiny, tmp_path):
    sklearn = pytest.importorskip("sklearn.metrics")
    found = run(with_methods(read_suite(world), "zero-shot"))
    (result,) = found.results
    model = wordsight.load(tiny / "tiny")
    clf = wordsight.ZeroShotClassifier(model, list(result.classes))
    said = read_predictions(predictions_path(tmp_path / "out", result))
    paths = [world / one.key for one in said]
    assert [one.guess for one in said] == clf.predict(paths).tolist()
    chances = clf.predict_proba(paths)
    ours = np.array([[one.scores[name] for name in clf.classes_] for one in said])
    np.testing.assert_allclose(ours, chances, atol=1e-5)
    truth = [path.parent.name for path in paths]
    assert result.estimate.value == pytest.approx(sklearn.accuracy_score(truth, clf.predict(paths)))
    assert result.n == len(truth) == 18


def with_methods(suite: Suite, *methods: str, **settings: object) -> Suite:
    return replace(suite, settings=replace(suite.settings, methods=methods, **settings))


def test_few_shot_learns_from_the_training_part_only(world, run, tiny, tmp_path):
    pytest.importorskip("sklearn")
    found = run(with_methods(read_suite(world), "few-shot"))
    (result,) = found.results
    said = read_predictions(predictions_path(tmp_path / "out", result))
    assert {Path(one.key).parts[0] for one in said} == {"test"}
    model = wordsight.load(tiny / "tiny")
    learnt = [path for name in COLOURS for path in sorted((world / "train" / name).iterdir())]
    clf = wordsight.FewShot(model, sorted(COLOURS), seed=0)
    clf.fit(model.encode_image(learnt), [path.parent.name for path in learnt])
    guesses = clf.predict(model.encode_image([world / one.key for one in said]))
    assert [one.guess for one in said] == guesses.tolist()
    assert result.algorithm == clf.method_


def test_without_a_training_part_every_picture_is_judged_by_what_did_not_see_it(tmp_path, run):
    pytest.importorskip("scipy")
    suite = read_suite(draw_set(tmp_path / "plain"))
    found = run(with_methods(suite, "few-shot", "linear-probe", shots=(1, 2), seeds=2))
    names = [(one.method, one.shots, one.seed) for one in found.results]
    assert names == [
        ("few-shot", 1, 0),
        ("few-shot", 1, 1),
        ("few-shot", 2, 0),
        ("few-shot", 2, 1),
        ("linear-probe", None, None),
    ]
    assert all("cross_validated" in one.remarks and one.n == 18 for one in found.results)
    assert not found.failures


CHILD = """
import os, signal, sys
from pathlib import Path
from wordsight.evaluation.run import evaluate
from wordsight.evaluation.suites import read_suite
from wordsight.evaluation import vectors
suite, model, out, cache, left = sys.argv[1:]
left = int(left)
vectors.CHUNK = 5
def progress(step, done, of):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
evaluate(read_suite(suite), [model], out=Path(out), cache=Path(cache), progress=progress)
"""


def test_a_kill_at_any_step_loses_nothing_that_was_done(world, tiny, tmp_path):
    pytest.importorskip("scipy")
    suite = described(
        tmp_path / "all.toml",
        '[suite]\nsets = ["colours"]\nmethods = ["zero-shot", "few-shot", "linear-probe"]\n'
        "shots = [1, 3]\n",
    )
    model = str(tiny / "tiny")
    whole = evaluate(read_suite(suite), [model], out=tmp_path / "whole", cache=tmp_path / "c0")
    assert len(whole.results) == 4
    kills = 0
    for steps in (2, 4, 9, 11, 1000):
        command = [sys.executable, "-c", CHILD, str(suite), model, str(tmp_path / "killed")]
        done = subprocess.run([*command, str(tmp_path / "c1"), str(steps)], check=False)
        kills += done.returncode == -signal.SIGKILL
    assert done.returncode == 0
    assert kills >= 3
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_what_is_done_is_not_done_again(world, run, tmp_path):
    suite = with_methods(read_suite(world), "zero-shot")
    first = run(suite)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.json*")}
    second = run(suite)
    assert (first.num_reused, first.num_pictures_computed) == (0, 18)  # not those to learn from
    assert (second.num_reused, second.num_pictures_computed) == (1, 0)
    assert second.results == first.results == tuple(read_results(tmp_path / "out"))
    after = {path: path.stat().st_mtime_ns for path in before if path.name != "evaluation.json"}
    assert after == {path: before[path] for path in after}


def test_a_changed_picture_is_noticed_and_only_it_is_computed(world, run):
    suite = with_methods(read_suite(world), "zero-shot")
    first = run(suite).results[0]
    worlds.draw("circle", "yellow", 77).save(world / "test" / "red" / "0.png")
    again = run(suite)
    assert (again.num_reused, again.num_pictures_computed) == (0, 1)
    assert again.results[0].identity["data"] != first.identity["data"]


def test_other_words_and_other_weights_are_noticed(world, run, tiny, bundle_copy, tmp_path):
    suite = with_methods(read_suite(world), "zero-shot")
    run(suite)
    text = (
        'classes = ["red", "green", "blue"]\n[set]\nimages = "colours"\n'
        '[templates]\nen = ["a big {}"]\n'
    )
    toml = described(tmp_path / "colours.toml", text)
    assert run(with_methods(read_suite(toml), "zero-shot")).num_reused == 0
    worlds.change_config(bundle_copy, name="another")
    model = str(tiny / "tiny")
    again = evaluate(
        suite,
        [model],
        out=tmp_path / "out",
        cache=tmp_path / "cache",
        open_model=lambda _: wordsight.load(bundle_copy),
    )
    assert again.num_reused == 0
    assert again.num_pictures_computed == 18


def test_a_copy_of_a_picture_on_the_other_side_is_said(world, run):
    pytest.importorskip("scipy")
    (world / "test" / "red" / "9.png").write_bytes((world / "train" / "red" / "0.png").read_bytes())
    words, examples = run(with_methods(read_suite(world), "zero-shot", "few-shot")).results
    assert "copies" in examples.remarks
    assert "copies" not in words.remarks


def test_two_runs_on_one_folder_are_refused(world, run, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(BusyError, match="another process"):
        run(with_methods(read_suite(world), "zero-shot"))


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_a_damaged_result_is_made_again(world, run, tmp_path, ending):
    suite = with_methods(read_suite(world), "zero-shot")
    run(suite)
    before = files(tmp_path / "out")
    (path,) = (tmp_path / "out" / "results").rglob(f"zero-shot*{ending}")
    path.write_bytes(path.read_bytes()[:-40])
    again = run(suite)
    assert (again.num_reused, again.num_pictures_computed) == (0, 0)
    assert files(tmp_path / "out") == before


def test_a_damaged_cache_is_named_and_made_again(world, run, tmp_path):
    suite = with_methods(read_suite(world), "zero-shot")
    first = run(suite)
    (segment,) = (tmp_path / "cache").rglob("*.npy")
    content = bytearray(segment.read_bytes())
    content[-3] ^= 1
    segment.write_bytes(content)
    again = run(suite, out="other")
    assert again.damaged == (segment,)
    assert again.num_pictures_computed == 18
    assert again.results[0].estimate == first.results[0].estimate


def test_unreadable_pictures_are_listed_and_budgeted(world, run):
    (world / "test" / "red" / "1.png").write_bytes(b"no picture")
    (world / "test" / "blue" / "2.png").write_bytes(b"no picture")
    suite = with_methods(read_suite(world), "zero-shot")
    with pytest.raises(DataError, match="2 rows or pictures cannot be used, at most 1") as caught:
        run(suite, max_bad=1)
    assert "test/red/1.png" in str(caught.value)
    (result,) = run(suite, max_bad=2).results
    assert result.n == 16
    assert [one.key for one in result.unreadable] == ["test/blue/2.png", "test/red/1.png"]


def test_what_cannot_be_computed_is_said_and_the_rest_goes_on(world, run, tmp_path):
    toml = described(
        tmp_path / "auc.toml", '[set]\nimages = "colours"\nmetric = "mean_top1_top5"\n'
    )
    found = run(with_methods(read_suite(toml), "zero-shot", "few-shot"))
    assert found.results == ()
    assert [one.method for one in found.failures] == ["zero-shot", "few-shot"]
    assert "mean_top1_top5 cannot be measured" in found.failures[0].reason


def test_sentences_are_found_as_by_hand(tiny, tmp_path):
    world = worlds.write_world(tmp_path / "pairs", 40)
    toml = described(tmp_path / "r.toml", '[suite]\npairs = ["pairs"]\n')
    model = wordsight.load(tiny / "tiny")
    found = evaluate(
        read_suite(toml), [str(tiny / "tiny")], out=tmp_path / "out", cache=tmp_path / "cache"
    )
    to_text, to_image = found.results
    images = model.encode_image([world / f"{n}.png" for n in range(40)])
    rows = [line.split(",") for line in (world / "pairs.csv").read_text().splitlines()[1:]]
    texts = model.encode_text([text for _, text in rows])
    cosines = images @ texts.T
    for result, table in ((to_text, cosines), (to_image, cosines.T)):
        own = np.diag(table)[:, None]
        better = (table > own + 1e-6).sum(axis=1)
        tied = (np.abs(table - own) <= 1e-6).sum(axis=1)
        by_hand = np.clip((1 - better) / tied, 0, 1).mean()
        assert result.estimate.value == pytest.approx(by_hand, abs=1e-6)
        said = read_predictions(predictions_path(tmp_path / "out", result))
        np.testing.assert_allclose([one.rank for one in said], 1 + better + (tied - 1) / 2)
    assert [to_text.method, to_image.method] == ["image-to-text", "text-to-image"]
    assert set(to_text.others) == {"recall_at_5", "recall_at_10"}


def test_an_inspection_has_a_margin_for_every_picture(tmp_path, run):
    pytest.importorskip("scipy")
    folder = draw_set(tmp_path / "parts", per_class=8)
    toml = described(
        tmp_path / "tiles.toml",
        '[set]\nimages = "parts"\npositive = ["red"]\n[targets]\nrecall = 0.8\n',
    )
    found = run(with_methods(read_suite(toml), "zero-shot", "few-shot"))
    assert len(found.results) == 2
    for result in found.results:
        said = read_predictions(predictions_path(tmp_path / "out", result))
        assert all(one.margin is not None for one in said)
        assert result.targets == {"recall": 0.8}
        assert len({one.key for one in said}) == len(list(folder.rglob("*.png")))


def test_results_come_back_as_they_were_written(world, run, tmp_path):
    found = run(with_methods(read_suite(world), "zero-shot"))
    path = next((tmp_path / "out" / "results").rglob("zero-shot.json"))
    assert read_result(path) == found.results[0]
    assert isinstance(found.results[0], Result)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected a JSON object"):
        read_result(path)
    path.write_text('{"suite": 3}')
    with pytest.raises(ConfigError, match="suite"):
        read_results(tmp_path / "out")
    (tmp_path / "out" / "evaluation.json").unlink()
    with pytest.raises(DataError, match="no evaluation that came to its end"):
        read_results(tmp_path / "out")


def test_models_whose_results_would_mix_are_refused(world, tmp_path):
    suite = read_suite(world)
    for names in (["mini", "mini"], ["a/b", "a-b"]):
        with pytest.raises(InputError, match="model"):
            evaluate(suite, names, out=tmp_path / "out")
