"""The training doctor: every planted misfortune is found, a healthy run is left in peace."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_runs
import torch

import worlds
from wordsight.data import read_pairs
from wordsight.data.examples import Example, PairExamples
from wordsight.errors import DataError, TrainingError
from wordsight.text import Tokenizer
from wordsight.training.contrastive.checkup import Data, check_up
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.evaluation import HeldOut
from wordsight.training.contrastive.findings import Finding, read_findings
from wordsight.training.contrastive.session import Session
from wordsight.training.contrastive.train import Trained, train
from wordsight.training.contrastive.watch import Watch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(tmp_path_factory.mktemp("world") / "drawn", 240)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.start_bundle(tmp_path_factory.mktemp("start") / "start")


def learn(world: Path, out: Path, start: Path, **changes: Any) -> Trained:
    given: dict[str, Any] = {"patch_dropout": 0.0, "average": 0.0, "crop": "none", "held_out": 0.25}
    config = small_runs.settings(start, **{**given, **changes})
    return train(PairExamples(read_pairs(world)), out=out, config=config, device="cpu")


def alarms(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.code: finding.text for finding in findings if finding.level != "ok"}


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_raises_no_alarm(seed: int, world: Path, start: Path, tmp_path: Path):
    trained = learn(world, tmp_path / "run", start, seed=seed, epochs=10.0)
    assert alarms(trained.findings) == {}
    assert read_findings(tmp_path / "run") == trained.findings
    codes = {finding.code for finding in trained.findings}
    assert codes >= {"copies_held_out", "loss_stuck", "collapse", "held_out_at_chance"}


def test_shuffled_captions_are_suspected(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 240)
    rows = [(pair.image.name, pair.text) for pair in read_pairs(world)]
    texts = np.random.default_rng(0).permutation([text for _, text in rows])
    with (world / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["image", "text"], *zip((r[0] for r in rows), texts, strict=True)]
        )
    found = alarms(learn(world, tmp_path / "run", start, epochs=10.0).findings)
    assert "shuffled" in advice_of(tmp_path / "run", "held_out_at_chance")
    assert found.keys() <= {"held_out_at_chance", "loss_stuck"}


def advice_of(run: Path, code: str) -> str:
    rows = json.loads((run / "findings.json").read_text())
    (advice,) = (row["advice"] for row in rows if row["code"] == code and row["level"] != "ok")
    return advice


def test_a_loss_that_stays_at_ln_of_the_batch_is_named(world: Path, start: Path, tmp_path: Path):
    trained = learn(world, tmp_path / "run", start, learning_rate=1e-9, epochs=5.0)
    found = alarms(trained.findings)
    assert f"ln(16) = {math.log(16):.2f}" in found["loss_stuck"]
    assert "misplaced" not in advice_of(tmp_path / "run", "loss_stuck")


def test_a_resumed_run_remembers_what_was_seen_before(world: Path, start: Path, tmp_path: Path):
    small_runs.finished(
        small_runs.in_child(
            lambda: learn(world, tmp_path / "run", start, max_scale=14.5, epochs=2.0) and None
        )
    )
    before = read_findings(tmp_path / "run")
    again = learn(world, tmp_path / "run", start, max_scale=14.5, epochs=2.0)
    assert before == again.findings


def test_a_layer_that_overflows_is_named_with_its_step(world: Path, start: Path, tmp_path: Path):
    config = small_runs.settings(start, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainingError, match=r"step 2: the loss is (nan|inf); first in layer image"):
        small_runs.run(world, tmp_path / "run", config)


@pytest.mark.parametrize("name", ["image.tower.blocks.1.mlp.expand", "text.tower.norm"])
def test_an_infinite_weight_is_found_by_the_layer_it_spoils(
    name: str, world: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The bias is as large as a float can be, and the sum behind it overflows."""
    honest = Session.learn

    def spoilt(session: Session, batch: Any, step: int) -> Mapping[str, Any]:
        if step == 3:
            parts = name.split(".")
            layer = session.clip.get_submodule(".".join(parts))
            with torch.no_grad():
                layer.bias.fill_(3e38)
                layer.weight.mul_(3e38)
        return honest(session, batch, step)

    monkeypatch.setattr(Session, "learn", spoilt)
    layer = {"image": r"image\.tower\.blocks\.1\.mlp", "text": r"text\.tower\.features"}
    where = layer[name.partition(".")[0]]
    with pytest.raises(TrainingError, match=rf"step 4: the loss is (nan|inf); first in .*{where}"):
        small_runs.run(world, tmp_path / "run", small_runs.settings(start))
    weights = (tmp_path / "run").glob("checkpoints/*/tensors.safetensors")
    assert list(weights) == []


def looked_at(world: Path, config: TrainConfig, **changes: Any) -> dict[str, str]:
    """Check up a drawn world: half of it is learnt from, half held out."""
    examples = PairExamples(read_pairs(world))
    given: dict[str, Any] = {
        "learnt": [examples[i] for i in range(0, len(examples), 2)],
        "held_out": [examples[i] for i in range(1, len(examples), 2)],
        "tokenizer": Tokenizer.from_bytes(worlds.tokenizer_json(), worlds.RULES),
        "config": config,
    }
    return alarms(check_up(Data(**{**given, **changes})))


def test_unknown_words_and_truncated_captions_are_counted(tmp_path: Path):
    long = "a {colour} {shape} " + "big " * 20 + "xylophone"
    world = worlds.write_world(tmp_path / "world", 48, sentence=long)
    found = looked_at(world, TrainConfig(batch_size=8))
    assert "24 of 24 captions are cut off" in found["truncated_captions"]
    assert "big big" in found["truncated_captions"]
    world = worlds.write_world(tmp_path / "other", 48, sentence="a {colour} {shape} xylophone")
    assert "xylophone" in looked_at(world, TrainConfig(batch_size=8))["unknown_words"]


def test_repeated_captions_that_count_as_wrong_are_named(world: Path):
    config = TrainConfig(batch_size=64, shared_captions=False)
    assert "120 of 120 pictures share" in looked_at(world, config)["duplicate_captions"]
    assert "duplicate_captions" not in looked_at(world, TrainConfig(batch_size=64))


def test_pictures_on_both_sides_of_the_split_are_named(world: Path):
    examples = PairExamples(read_pairs(world))
    learnt = [examples[i] for i in range(100)]
    twins = [Example(f"copy {e.key}", e.image, e.texts) for e in learnt[:9]]
    held_out = [*(examples[i] for i in range(100, 130)), *twins]
    found = looked_at(world, TrainConfig(batch_size=8), learnt=learnt, held_out=held_out)
    assert found["copies_held_out"].startswith("9 of 39 held-out pictures look like one of 100")


def test_a_batch_larger_than_the_data_is_named(world: Path):
    assert (
        "500 pairs, more than the 120"
        in looked_at(world, TrainConfig(batch_size=500))["batch_size"]
    )


def test_one_caption_for_all_pictures_is_refused_before_the_run(start: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "world", 40, sentence="a photo")
    with pytest.raises(DataError, match="captions are the same, 'a photo'"):
        learn(world, tmp_path / "run", start)
    with pytest.raises(DataError, match="captions are the same"):  # and again
        learn(world, tmp_path / "run", start)


def test_a_caption_with_nothing_to_read_is_refused_before_the_run(world: Path):
    examples = PairExamples(read_pairs(world))
    bad = Example("bad", examples[0].image, ("\u200b",))
    with pytest.raises(DataError, match="nothing to read"):
        looked_at(world, TrainConfig(batch_size=8), learnt=[bad, examples[1]])


def said(step: int, loss: float = 1.0, scale: float = 20.0) -> dict[str, Any]:
    return {"step": step, "loss": loss, "scale": scale}


def watched(*steps: Mapping[str, Any], num_steps: int = 100) -> dict[str, Finding]:
    watch = Watch(TrainConfig(batch_size=16), num_steps)
    for one in steps:
        watch.step(one)
    return watch.findings


def test_a_spike_of_the_loss_is_named_with_its_step():
    noise = np.random.default_rng(0).normal(2.0, 0.1, 60)
    losses = [said(n + 1, float(loss)) for n, loss in enumerate(noise)]
    assert "loss_spike" not in watched(*losses)
    found = watched(*losses, said(61, 4.5), said(62, 2.0))["loss_spike"]
    assert (found.level, found.step) == ("warn", 61)


def test_a_temperature_at_its_bound_is_a_warning_only_early_and_only_if_it_moved_there():
    early = watched(said(1, scale=14), said(20, scale=100.0))
    late = watched(said(1, scale=14), said(80, scale=100.0))
    from_the_start = watched(said(1, scale=100.0), said(20, scale=100.0))
    assert early["temperature"].level == "warn"
    assert late["temperature"].level == "ok"
    assert "temperature" not in from_the_start


def test_a_starved_loader_is_named_when_it_costs_enough_to_matter():
    watch = Watch(TrainConfig(), 100)
    for step in range(1, 20):
        watch.timed(waited_s=0.5, learnt_s=1.0, step=step)
    assert "starved" not in watch.findings
    watch.timed(waited_s=0.5, learnt_s=1.0, step=20)
    assert watch.findings["starved"].text.startswith("33% of the time, 10 s")


def vectors(images: np.ndarray, texts: np.ndarray) -> HeldOut:
    own = [np.array([row % len(texts)]) for row in range(len(images))]
    return HeldOut(images.astype(np.float32), texts.astype(np.float32), own, [])


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_collapse_and_chance_are_told_from_learning(seed: int):
    rng = np.random.default_rng(seed)
    texts = unit(rng.normal(size=(60, 16)))
    for noise, expected in ((0.5, set()), (None, {"held_out_at_chance"})):
        images = (
            texts + noise * rng.normal(size=texts.shape) if noise else rng.normal(size=(60, 16))
        )
        watch = Watch(TrainConfig(), 10)
        watch.evaluated(vectors(unit(images), texts), 10)
        assert {f.code for f in watch.findings.values() if f.level != "ok"} == expected
    one_point = unit(texts[:1] + 1e-3 * rng.normal(size=(60, 1)) * texts[1:2])
    watch.evaluated(vectors(one_point, texts), 10)
    assert watch.findings["collapse"].level == "stop"
    watch.evaluated(vectors(texts, texts), 10)
    assert watch.findings["collapse"].level == "ok"
