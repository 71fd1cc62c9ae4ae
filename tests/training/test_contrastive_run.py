"""Training runs: what they learn, that they resume to the byte, and what they refuse."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_runs

import wordsight as ws
import worlds
from tally import COUNT
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import ConfigError, DataError, TrainingError
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.training.contrastive.train import train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 120)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "start")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, world: Path, start: Path) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("straight") / "run"
    child = small_runs.in_child(lambda: small_runs.run(world, out, small_runs.settings(start)))
    assert small_runs.finished(child) == 0
    return out


@pytest.mark.parametrize(("workers", "kills"), [(0, 3), (1, 1), (3, 1)])
def test_a_run_killed_at_random_steps_ends_with_the_same_bytes(
    workers: int, kills: int, straight: Path, world: Path, start: Path, tmp_path: Path
):
    out, generator = tmp_path / "run", random.Random(workers)
    config = small_runs.settings(start, workers=workers)
    total = straight.joinpath("metrics.jsonl").read_bytes().count(b"\n")
    for _ in range(kills):
        child = small_runs.in_child(lambda: small_runs.run(world, out, config))
        small_runs.kill_after(child, out / "metrics.jsonl", generator.randrange(2, total))
    child = small_runs.in_child(lambda: small_runs.run(world, out, config))
    assert small_runs.finished(child) == 0
    expected, found = small_runs.content(straight), small_runs.content(out)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    COUNT["kills of training"] += kills


def test_the_same_command_on_a_finished_run_changes_nothing(
    straight: Path, world: Path, start: Path
):
    before = small_runs.content(straight)
    child = small_runs.in_child(lambda: small_runs.run(world, straight, small_runs.settings(start)))
    assert small_runs.finished(child) == 0
    assert small_runs.content(straight) == before


def test_a_damaged_checkpoint_is_passed_over_and_the_run_ends_with_the_same_bytes(
    straight: Path, world: Path, start: Path, tmp_path: Path
):
    out = tmp_path / "run"
    shutil.copytree(straight, out)
    newest = max((out / "checkpoints").iterdir()) / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    child = small_runs.in_child(lambda: small_runs.run(world, out, small_runs.settings(start)))
    assert small_runs.finished(child) == 0
    assert small_runs.content(out) == small_runs.content(straight)


def test_what_was_learnt_is_a_bundle_that_knows_the_world(straight: Path, world: Path, start: Path):
    lines = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[0] > 1.2 * losses[-1]
    model = ws.load(straight / "model")
    pairs = read_pairs(world)
    images = model.encode_image(list(pairs.images[:24]))
    texts = model.encode_text(sorted(set(pairs.texts)))
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert images.shape[1] == texts.shape[1] == 16


def test_a_resnet_is_learnt_in_parts_like_a_vit(world: Path, tmp_path: Path):
    image = ModifiedResNetConfig(
        image_size=32, depths=(1, 1, 1, 1), width=4, num_heads=2, output_width=16
    )
    start = small_runs.start_bundle(tmp_path / "start", image)
    config = small_runs.settings(start, patch_dropout=0.0, micro_batch=5, epochs=0.5)
    small_runs.run(world, tmp_path / "run", config)
    assert (tmp_path / "run" / "model" / "SHA256SUMS").is_file()


def test_zero_shot_accuracy_is_measured_on_the_users_own_sets(
    world: Path, start: Path, tmp_path: Path
):
    labelled = worlds.write_world(tmp_path / "shapes", 24, sentence="{shape}")
    trained = train(
        PairExamples(read_pairs(world)),
        out=tmp_path / "run",
        config=small_runs.settings(start, epochs=0.5),
        labelled={"shapes": PairExamples(read_pairs(labelled))},
    )
    assert trained.scores["shapes_accuracy"].n == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 4}, "begun with seed = 3, not 4"), ({"learning_rate": 1.0}, "learning_rate")],
)
def test_another_setting_on_the_same_folder_is_refused(
    change: dict, message: str, straight: Path, world: Path, start: Path
):
    with pytest.raises(TrainingError, match=message):
        small_runs.run(world, straight, small_runs.settings(start, **change))


def test_other_data_on_the_same_folder_is_refused(straight: Path, start: Path, tmp_path: Path):
    other = worlds.write_world(tmp_path / "other", 60)
    with pytest.raises(TrainingError, match="other pictures or sentences"):
        small_runs.run(other, straight, small_runs.settings(start))


def test_a_folder_with_something_else_in_it_is_left_alone(world: Path, start: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not a training run"):
        small_runs.run(world, tmp_path, small_runs.settings(start))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(
    world: Path, start: Path, tmp_path: Path
):
    config = small_runs.settings(start, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainingError, match=r"step \d+: the loss is (nan|inf)"):
        small_runs.run(world, tmp_path / "run", config)


def _spoil(world: Path, count: int) -> None:
    for number in range(count):
        (world / f"{number}.png").write_bytes(b"<html>not a picture</html>")


def test_unreadable_pictures_cost_their_own_place_within_the_budget(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 60)
    _spoil(world, 4)
    config = small_runs.settings(start, epochs=1.0, max_bad=4, held_out=0.0)
    small_runs.run(world, tmp_path / "run", config)
    lines = (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["name"] for line in lines) == [f"{n}.png" for n in range(4)]


def test_more_unreadable_pictures_than_allowed_stop_the_run(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 60)
    _spoil(world, 4)
    config = small_runs.settings(start, epochs=1.0, max_bad=3, held_out=0.0)
    with pytest.raises(DataError, match="3 are allowed"):
        small_runs.run(world, tmp_path / "run", config)


def test_too_few_pictures_are_refused(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 5)
    with pytest.raises(DataError, match="expected at least 8"):
        small_runs.run(world, tmp_path / "run", small_runs.settings(start))
