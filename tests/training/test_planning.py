"""What a run is said to take before it is begun, against what it then takes."""

import dataclasses
import json
from pathlib import Path

import pytest
import small_runs

import worlds
from wordsight.cli import app
from wordsight.commands.plan import plan
from wordsight.data import read_pairs
from wordsight.data.examples import PairExamples
from wordsight.errors import ConfigError
from wordsight.language import Phrases
from wordsight.model import zoo
from wordsight.training.contrastive.calibration import architecture_of, calibrate
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.footprint import Footprint, footprint
from wordsight.training.contrastive.gpus import GPUS, find_gpu
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.planning import (
    Cluster,
    operations_of_a_pair,
    plan_cluster,
    plan_training,
)
from wordsight.training.contrastive.presets import resolve
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.session import Session
from wordsight.training.contrastive.train import train

DAY_S = 86_400.0
PAPER_PAIRS = 32 * 400_000_000


@pytest.mark.parametrize(
    ("preset", "num_gpus", "days"), [("paper-ViT-L-14", 256, 12), ("paper-RN50x64", 592, 18)]
)
def test_the_papers_largest_runs_are_planned_within_a_third(
    preset: str, num_gpus: int, days: float
):
    """Section 2.5: 18 days on 592 V100 for the largest ResNet, 12 days on 256 for ViT-L/14."""
    config = resolve(preset)
    architecture = architecture_of(config)
    operations = PAPER_PAIRS * operations_of_a_pair(architecture, config)
    cluster = Cluster(gpu=find_gpu("v100"), count=num_gpus, price_per_hour=2.0)
    planned = plan_cluster(architecture, config, cluster, operations)
    assert 0.7 < planned.seconds / (days * DAY_S) < 1.3
    assert planned.cost == pytest.approx(planned.seconds / 3600 * num_gpus * 2.0)
    assert planned.largest_micro_batch > 8192


def test_a_plan_counts_the_steps_and_pictures_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """How close its seconds come is for a quiet machine: benchmarks/plan_accuracy.py."""
    from wordsight.training.contrastive import calibration

    monkeypatch.setattr(calibration, "PART_S", 0.5)
    monkeypatch.setattr(calibration, "STEP_S", 0.2)
    world = worlds.write_world(tmp_path / "world", 160)
    config = TrainConfig(batch_size=32, epochs=1.0, vocab_size=600, context_length=8, held_out=0.2)
    examples = PairExamples(read_pairs(world))
    planned = plan_training(config, examples=examples)
    trained = train(examples, out=tmp_path / "run", config=config, device="cpu")
    assert planned.num_steps == trained.num_steps
    assert planned.num_examples + planned.num_held_out == 160
    assert planned.seconds > 0


def test_towers_too_large_to_try_are_planned_by_shallower_ones(monkeypatch: pytest.MonkeyPatch):
    """The shallow towers' steps, times the operations of the whole, are the whole ones' steps."""
    from wordsight.training.contrastive import calibration

    monkeypatch.setattr(calibration, "PART_S", 0.5)
    monkeypatch.setattr(calibration, "STEP_S", 0.2)
    config = TrainConfig(batch_size=32, context_length=16)
    whole, _ = calibrate(config, None, None, Processes())
    monkeypatch.setattr(calibration, "LARGEST", 2_000_000)
    shallow, architecture = calibrate(config, None, None, Processes())
    assert (whole.is_shallow, shallow.is_shallow) == (False, True)
    assert architecture.image == zoo.find("tiny-vit-64").architecture.image
    assert shallow.step_s > 0


@pytest.mark.parametrize("moments", ["float32", "bfloat16"])
def test_weights_gradients_and_moments_are_those_of_a_real_run(moments: str, tmp_path: Path):
    start = small_runs.start_bundle(tmp_path / "start")
    config = small_runs.settings(start, moments=moments, lock="image")
    expected = footprint(architecture_of(config), config)
    from wordsight.training.contrastive.beginning import begin
    from wordsight.training.contrastive.calibration import _drawn

    beginning = begin(config, [], tmp_path)
    session = Session(
        beginning.clip, config, BatchPlan(100, 16, 1.0, 0), beginning.recipe, Processes()
    )
    session.learn(next(_drawn(beginning.clip.config)(16, 1)), 0)
    values = session.clip.state_dict().values()
    grads = [p.grad for p in session.clip.parameters() if p.grad is not None]
    states = [
        moment
        for state in session.optimizer.state.values()
        for name, moment in state.items()
        if name != "step"
    ]
    assert expected.weights == expected.average == sum(value.nbytes for value in values)
    assert expected.gradients == sum(grad.nbytes for grad in grads)
    assert expected.moments == sum(moment.nbytes for moment in states)


def test_activations_shrink_with_parts_checkpoints_locks_and_half_precision():
    architecture = zoo.find("tiny-vit-64").architecture

    def held(**changes: object) -> Footprint:
        return footprint(architecture, dataclasses.replace(TrainConfig(), **changes))

    whole = held()
    assert held(micro_batch=64).activations == pytest.approx(whole.activations / 4, rel=0.05)
    assert held(checkpoint_gradients=True).activations < 0.5 * whole.activations
    assert held(precision="bfloat16").activations < 0.8 * whole.activations
    assert held(lock="image").activations < 0.5 * whole.activations
    assert held(patch_dropout=0.5).activations < 0.8 * whole.activations
    assert whole.total == sum(dataclasses.asdict(whole).values())


def test_activations_are_those_that_autograd_keeps_of_real_tensors():
    """A matrix, a norm and an MLP by hand: two layers' worth of floats that backward needs."""
    architecture = zoo.find("tiny-vit-64").architecture
    few = footprint(architecture, TrainConfig(batch_size=8)).activations
    more = footprint(architecture, TrainConfig(batch_size=16)).activations
    tokens, width = 65, 192
    a_block = tokens * width * (2 + 3 + 1 + 1 + 4 + 4) * 4  # norms, qkv, mixed, stream, MLP twice
    assert more == pytest.approx(2 * few, rel=0.01)
    assert 0.7 < few / 8 / (6 * a_block + 4 * 32 * 128 * 15 * 4) < 1.6


def test_a_gpu_that_is_too_small_is_said_to_be_with_the_largest_micro_batch():
    config = TrainConfig(architecture="ViT-L-14", batch_size=1024, precision="bfloat16")
    cluster = Cluster(gpu=find_gpu("l4"), count=2)
    planned = plan_cluster(architecture_of(config), config, cluster, 1e15)
    assert not planned.fits
    assert 2 <= planned.largest_micro_batch < 1024
    smaller = dataclasses.replace(config, micro_batch=planned.largest_micro_batch)
    assert plan_cluster(architecture_of(config), smaller, cluster, 1e15).fits


def test_the_table_of_gpus_holds_sound_numbers():
    for gpu in GPUS:
        assert 10e9 <= gpu.memory <= 300e9
        assert gpu.single < gpu.half < 5e15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--gpus", "8", "--gpu", "h1000", "--examples", "100"], "h1000"),
        ([], "neither pairs nor their number"),
    ],
)
def test_what_cannot_be_planned_is_refused(given: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        app(["plan", "--preset", "smoke", *given])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from wordsight.training.contrastive import calibration

    monkeypatch.setattr(calibration, "PART_S", 0.1)
    monkeypatch.setattr(calibration, "STEP_S", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_command_prints_a_plan_as_json(capsys: pytest.CaptureFixture[str]):
    app(
        [
            "plan",
            "--preset",
            "smoke",
            "--examples",
            "1000",
            "--gpus",
            "8",
            "--price",
            "2",
            "--json",
        ],
        result_action="return_value",
    )
    found, smoke = json.loads(capsys.readouterr().out), resolve("smoke")
    assert found["examples"] == round(1000 * (1 - smoke.held_out))
    assert found["steps"] == -(-found["examples"] * smoke.epochs // smoke.batch_size)
    cost = found["cluster"]["seconds"] / 3600 * 16
    assert found["cluster"]["cost"] == pytest.approx(cost, abs=0.02)


@pytest.mark.usefixtures("quick")
def test_a_plan_can_be_read_in_both_languages():
    planned = plan(preset="smoke", num_examples=1000, num_gpus=8, price_per_hour=2.0)
    english, japanese = Phrases.load("en"), Phrases.load("ja")
    assert ["time on 8 x h100", "0 s"] in planned.rows(english)
    assert len(planned.rows(english)) == len(planned.rows(japanese)) == 8
    assert "25%" in planned.notes(english)[-1]
    assert len(planned.notes(japanese)) == 3
