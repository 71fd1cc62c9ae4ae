"""The efficiency study from pairs to plot: it learns a drawn world, and survives being killed."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_runs
import torch

import worlds
from tally import COUNT
from wordsight.cli import app
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import ConfigError, DataError, InputError, TrainingError
from wordsight.training.study.config import OBJECTIVES, StudyConfig
from wordsight.training.study.named import Named
from wordsight.training.study.results import read_results
from wordsight.training.study.study import study

CONFIG = {
    "vocab_size": 520,
    "context_length": 12,
    "samples": 96,
    "batch_size": 12,
    "evaluations": 2,
    "checkpoint_every": 3,
    "crop": "strong",
    "seed": 3,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 48)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours") / "drawn"
    return worlds.write_world(folder, 30, sentence="{colour}")


def examples(folder: Path) -> PairExamples:
    return PairExamples(read_pairs(folder))


def run(world: Path, colours: Path, out: Path, killed_at: int = 0, **changes) -> None:
    """Run a study, or a part of it: the process kills itself after so many steps of its own."""
    steps = iter(range(1, 10_000))

    def on_step(_objective: str, _done: int, _of: int) -> None:
        if next(steps) == killed_at:
            small_runs.os.kill(small_runs.os.getpid(), small_runs.signal.SIGKILL)

    study(
        examples(world),
        out=out,
        labelled=examples(colours),
        config=StudyConfig(**{**CONFIG, **changes}),
        device="cpu",
        on_step=on_step,
    )


def content(out: Path) -> dict[str, object]:
    """Return what two equal studies have in common: weights, moments and curves, not seconds."""
    found: dict[str, object] = {"config": (out / "config.json").read_bytes()}
    for objective in OBJECTIVES:
        newest = max((out / objective / "checkpoints").iterdir())
        found |= {f"{objective}/{path.name}": path.read_bytes() for path in newest.iterdir()}
        curve = json.loads((out / objective / "curve.json").read_text())
        found[objective] = [point | {"seconds": 0} for point in curve["points"]]
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, world: Path, colours: Path) -> Path:
    """A study that nobody disturbed."""
    out = tmp_path_factory.mktemp("straight") / "study"
    assert small_runs.finished(small_runs.in_child(lambda: run(world, colours, out))) == 0
    return out


def test_every_objective_spends_the_same_operations(straight: Path):
    results = read_results(straight / "results.json")
    assert [curve.objective for curve in results.curves] == list(OBJECTIVES)
    spent = [curve.points[-1].operations for curve in results.curves]
    step = max(curve.operations_per_sample for curve in results.curves) * CONFIG["batch_size"]
    assert max(spent) - min(spent) <= step
    assert results.curves[-1].points[-1].samples == CONFIG["samples"]
    for curve in results.curves:
        assert len(curve.points) == 2
        assert all(point.accuracy.n == 30 for point in curve.points)
        assert 0 < curve.points[0].seconds < curve.points[1].seconds


def test_a_study_killed_at_random_steps_ends_with_the_same_bytes(
    straight: Path, world: Path, colours: Path, tmp_path: Path
):
    out, generator, kills = tmp_path / "study", random.Random(5), 0
    while True:
        killed_at = generator.randrange(2, 24)
        child = small_runs.in_child(lambda killed_at=killed_at: run(world, colours, out, killed_at))
        code = small_runs.finished(child)
        if code == 0:
            break
        assert code == -small_runs.signal.SIGKILL
        kills += 1
        assert kills < 12
    assert kills >= 2
    COUNT["kills of training"] += kills
    assert content(out) == content(straight)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the undisturbed study had: sums of more threads round elsewhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_what_is_finished_is_not_learnt_again(
    straight: Path, world: Path, colours: Path, tmp_path: Path
):
    out = tmp_path / "study"
    shutil.copytree(straight, out)
    shutil.rmtree(out / "bag_contrast")
    before = {path: path.stat().st_mtime_ns for path in out.glob("[!b]*/*.json")}
    learnt: set[str] = set()
    study(
        examples(world),
        out=out,
        labelled=examples(colours),
        config=StudyConfig(**CONFIG),
        device="cpu",
        on_step=lambda objective, _done, _of: learnt.add(objective),
    )
    assert learnt == {"bag_contrast"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("[!b]*/*.json")} == before
    assert content(out) == content(straight)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_the_colours_of_a_drawn_world(
    objective: str, colours: Path, tmp_path: Path
):
    world = worlds.write_world(tmp_path / "world", 60, sentence="{colour}")
    # the language model is the slowest learner, in the drawn world too
    samples = 960 if objective == "language_model" else 480
    found = study(
        Named(examples(world), ("{}", "look: {}")),
        out=tmp_path / "study",
        labelled=examples(colours),
        config=StudyConfig(
            **{
                **CONFIG,
                "samples": samples,
                "evaluations": 1,
                "learning_rate": 3e-3,
                "crop": "none",
            }
        ),
        objectives=[objective],
        device="cpu",
    )
    (curve,) = found.curves
    assert found.classes == 6
    assert curve.points[-1].accuracy.low > 1 / 6, str(curve.points[-1].accuracy)


def test_another_setting_or_other_pictures_are_refused(straight: Path, world: Path, colours: Path):
    with pytest.raises(TrainingError, match="begun with seed = 3, not 4"):
        run(world, colours, straight, seed=4)
    with pytest.raises(TrainingError, match="other pictures"):
        run(colours, world, straight)


def test_too_few_pictures_or_classes_are_refused(world: Path, colours: Path, tmp_path: Path):
    with pytest.raises(DataError, match="48 pictures to learn from are fewer than a batch of 64"):
        run(world, colours, tmp_path / "a", batch_size=64)
    alike = worlds.write_world(tmp_path / "alike", 3, sentence="thing")
    with pytest.raises(InputError, match="of 1 classes, expected 2"):
        run(world, alike, tmp_path / "b")


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="evaluations must be 1 or more, got 0"):
        StudyConfig(evaluations=0)
    with pytest.raises(InputError, match="exactly once"):
        StudyConfig(templates=("a photo",))


def test_the_command_writes_results_and_a_page(
    world: Path, colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings, out = tmp_path / "study.toml", tmp_path / "study"
    lines = [f"{name} = {json.dumps(value)}" for name, value in CONFIG.items() if name != "samples"]
    settings.write_text("\n".join(lines) + "\n")
    command = ["study", str(world), "--classes", str(colours), "--out", str(out)]
    command += ["--named", str(colours), "--config", str(settings), "--minutes", "0.005"]
    command += ["--objective", "bag_of_words", "--objective", "contrast", "--json"]
    for _ in range(2):  # the second finds everything done, and the same number of samples
        app(command, result_action="return_value")
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads((out / "results.json").read_text())
    assert [curve["objective"] for curve in printed["curves"]] == ["bag_of_words", "contrast"]
    html = (out / "study.html").read_text()
    assert html.count("<polyline") + html.count("<circle") >= 2
    assert "Bag of words, predicted" in html
    app([*command[:-1], "--lang", "ja"], result_action="return_value")
    assert "単語の集合を予測" in (out / "study.html").read_text()
    with pytest.raises(ConfigError, match="no samples beside it"):
        app([*command, "--samples", "100"], result_action="return_value")
