"""Several processes end together whatever happens to one of them, and go on after a kill."""

import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ranks
import small_runs
import torch
from safetensors.torch import load_file

import worlds
from tally import COUNT
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import DataError
from wordsight.training.contrastive.processes import joined
from wordsight.training.contrastive.train import train

SHARDINGS = ("none", "full")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 120)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "start")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, world: Path, start: Path) -> dict[str, Path]:
    """Runs of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    for sharding in SHARDINGS:
        config = ranks.twenty_steps(start, sharding=sharding)
        assert ranks.ended(ranks.learn(2, world, folder / sharding, config)) == [0, 0]
    return {sharding: folder / sharding for sharding in SHARDINGS}


def kill_one(children: list[int], victim: int, metrics: Path, num_lines: int) -> list[int]:
    """Kill one process once so many lines are measured, and return how all ended."""
    begun = time.monotonic()
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < num_lines:
        assert time.monotonic() - begun < ranks.DEADLINE_S
        time.sleep(0.002)
    os.kill(children[victim], signal.SIGKILL)
    return ranks.ended(children)


@pytest.mark.parametrize(("victim", "sharding"), [(0, "none"), (1, "none"), (1, "full")])
def test_a_killed_process_ends_the_other_and_the_same_command_ends_with_the_same_bytes(
    victim: int, sharding: str, straight: dict[str, Path], world: Path, start: Path, tmp_path: Path
):
    out, config = tmp_path / "run", ranks.twenty_steps(start, sharding=sharding)
    at = random.Random(victim).randrange(3, 16)
    codes = kill_one(ranks.learn(2, world, out, config), victim, out / "metrics.jsonl", at)
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == 1
    said = (ranks.errors_of(out) / f"{1 - victim}.txt").read_text()
    assert said.startswith(f"TrainingError: process {1 - victim} of 2 lost another one")
    assert ranks.ended(ranks.learn(2, world, out, config)) == [0, 0]
    expected, found = small_runs.content(straight[sharding]), small_runs.content(out)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    COUNT["kills of training"] += 1


@pytest.mark.parametrize(("counts", "shardings"), [((2, 1), ("full", "none")), ((1, 2), SHARDINGS)])
def test_another_number_of_processes_goes_on_where_a_run_stopped(
    counts: tuple[int, int],
    shardings: tuple[str, str],
    straight: dict[str, Path],
    world: Path,
    start: Path,
    tmp_path: Path,
):
    out = tmp_path / "run"
    first, second = (ranks.twenty_steps(start, sharding=sharding) for sharding in shardings)
    children = ranks.learn(counts[0], world, out, first)
    kill_one(children, 0, out / "metrics.jsonl", 10)
    begun_with = (out / "metrics.jsonl").read_bytes()[:300]
    assert ranks.ended(ranks.learn(counts[1], world, out, second)) == [0] * counts[1]
    assert (out / "metrics.jsonl").read_bytes()[:300] == begun_with
    name = Path("checkpoints", "step-00000020", "tensors.safetensors")
    expected, found = load_file(straight["none"] / name), load_file(out / name)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        if not key.startswith("optimizer."):
            assert (found[key] - value).abs().max() <= 1e-5, key


def test_a_batch_that_does_not_divide_is_refused_by_every_process(
    world: Path, start: Path, tmp_path: Path
):
    config = ranks.twenty_steps(start, batch_size=15)
    assert ranks.ended(ranks.learn(2, world, tmp_path / "run", config)) == [1, 1]
    for said in ranks.messages(ranks.errors_of(tmp_path / "run"), 2):
        assert said == "ConfigError: batch_size 15 does not divide between 2 processes"


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_loss_that_is_no_number_ends_every_process_with_the_step(
    sharding: str, world: Path, start: Path, tmp_path: Path
):
    config = ranks.twenty_steps(start, learning_rate=1e30, warmup=0.0, sharding=sharding)
    assert ranks.ended(ranks.learn(2, world, tmp_path / "run", config)) == [1, 1]
    for said in ranks.messages(ranks.errors_of(tmp_path / "run"), 2):
        assert said.startswith("TrainingError: step 2: the loss is nan")


def test_too_many_unreadable_pictures_end_every_process_with_their_number(
    start: Path, tmp_path: Path
):
    world = worlds.write_world(tmp_path / "world", 60)
    config = ranks.twenty_steps(start, max_bad=2, held_out=0.0)

    def spoil(said: Mapping[str, Any], num_steps: int) -> None:
        for number in range(0, 60, 10):
            (world / f"{number}.png").write_bytes(b"not a picture")

    def work(rank: int) -> None:
        data = PairExamples(read_pairs(world))
        train(data, out=tmp_path / "run", config=config, device="cpu", on_step=spoil)

    assert ranks.ended(ranks.start(2, work, tmp_path / "errors")) == [1, 1]
    said = ranks.messages(tmp_path / "errors", 2)
    assert said[0] == said[1]
    assert "pictures cannot be read, 2 are allowed" in said[0]


def test_a_failure_of_one_process_is_told_to_the_others(tmp_path: Path):
    def fail(rank: int) -> None:
        def work() -> int:
            if rank == 1:
                raise DataError("the disk of this machine is empty")
            return 7

        with joined("cpu") as processes:
            assert processes.agreed(lambda: rank) == rank
            processes.agreed(work)

    assert ranks.ended(ranks.start(2, fail, tmp_path)) == [1, 1]
    own, other = "the disk of this machine is empty", "process 1 of 2 failed: "
    assert ranks.messages(tmp_path, 2) == [f"TrainingError: {other}{own}", f"DataError: {own}"]


def test_an_error_nobody_foresaw_ends_the_others_too(tmp_path: Path):
    def fail(rank: int) -> None:
        with joined("cpu") as processes:
            if rank == 0:
                raise KeyError("a bug")
            processes.gathered(torch.zeros(3))

    assert ranks.ended(ranks.start(2, fail, tmp_path)) == [1, 1]
    assert ranks.messages(tmp_path, 2)[1].startswith("TrainingError: process 1 of 2 lost another")


def test_processes_that_see_different_data_are_refused(start: Path, tmp_path: Path):
    worlds_of = [worlds.write_world(tmp_path / str(rank), 60 + rank) for rank in (0, 1)]
    config = ranks.twenty_steps(start)

    def work(rank: int) -> None:
        small_runs.run(worlds_of[rank], tmp_path / "run", config)

    assert ranks.ended(ranks.start(2, work, tmp_path / "errors")) == [1, 1]
    for said in ranks.messages(tmp_path / "errors", 2):
        assert "the 2 processes have different data" in said


def test_processes_that_do_not_share_the_folder_of_the_run_are_refused(
    world: Path, start: Path, tmp_path: Path
):
    config = ranks.twenty_steps(start)

    def work(rank: int) -> None:
        small_runs.run(world, tmp_path / f"run-{rank}", config)

    assert ranks.ended(ranks.start(2, work, tmp_path / "errors")) == [1, 1]
    own, other = ranks.messages(tmp_path / "errors", 2)[::-1]
    assert "what the first process wrote there is not to be seen from here" in own
    assert other.startswith("TrainingError: process 1 of 2 failed")
