"""The pieces of a training run: order, step sizes, decay, rounding, checkpoints, locks."""

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.data.examples import split_examples
from wordsight.errors import BusyError, DataError
from wordsight.locks import locked
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import Clip
from wordsight.training.contrastive import state
from wordsight.training.contrastive.beginning import vocabulary
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.half_moments import HalfMomentAdamW, round_stochastically
from wordsight.training.contrastive.optimizer import build_optimizer, parameter_groups
from wordsight.training.contrastive.plan import BatchPlan, sample_generator
from wordsight.training.contrastive.schedule import learning_rate
from wordsight.training.contrastive.seeds import mixed

TEXT = TextTransformerConfig(
    vocab_size=50, context_length=6, width=16, depth=2, num_heads=2, mlp_width=32
)
VIT = ClipConfig(
    image=VisionTransformerConfig(
        image_size=16, patch_size=8, width=16, depth=3, num_heads=2, mlp_width=32
    ),
    text=TEXT,
    embed_dim=8,
)
RESNET = ClipConfig(
    image=ModifiedResNetConfig(
        image_size=32, depths=(1, 1, 1, 1), width=4, num_heads=2, output_width=8
    ),
    text=TEXT,
    embed_dim=8,
)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 50),
    epochs=st.sampled_from([0.5, 1.0, 2.0, 3.3]),
    seed=st.integers(0, 2**31),
)
def test_every_epoch_shows_every_example_once_whatever_the_batch(count, batch, epochs, seed):
    plan = BatchPlan(num_examples=count, batch_size=batch, epochs=epochs, seed=seed)
    shown = np.concatenate([plan.examples(step) for step in range(plan.num_steps)])
    assert count * epochs <= len(shown) < count * epochs + batch
    for epoch in range(len(shown) // count):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_come_in_different_orders():
    plan = BatchPlan(num_examples=50, batch_size=50, epochs=2, seed=0)
    assert list(plan.examples(0)) != list(plan.examples(1))


def test_what_is_drawn_for_a_sample_depends_on_seed_and_sample_only():
    first = [sample_generator(3, sample).random(4).tolist() for sample in range(50)]
    assert first == [sample_generator(3, sample).random(4).tolist() for sample in range(50)]
    assert len({tuple(row) for row in first}) == 50
    assert sample_generator(4, 0).random() != sample_generator(3, 0).random()


def test_the_step_size_grows_then_falls_along_half_a_cosine():
    rates = [learning_rate(s, num_steps=100, warmup_steps=10, peak=2.0) for s in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1 + math.cos(math.pi / 2))
    assert rates[-1] == pytest.approx(1 + math.cos(math.pi * 89 / 90))
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_gains_biases_and_the_scale_do_not_decay_and_everything_else_does(config):
    clip = Clip(config)
    names = {id(value): name for name, value in clip.named_parameters()}
    groups = parameter_groups(clip, weight_decay=0.2)
    seen = {names[id(v)]: group["weight_decay"] for group in groups for v in group["params"]}
    assert seen.keys() == set(names.values())
    for name, decay in seen.items():
        is_free = "norm" in name or name.endswith("bias") or "logit" in name
        is_free = is_free or name.endswith("class_embedding")
        assert decay == (0.0 if is_free else 0.2), name


def test_layers_far_from_the_joint_space_move_less():
    clip = Clip(VIT)
    names = {id(value): name for name, value in clip.named_parameters()}
    groups = parameter_groups(clip, weight_decay=0.0, layer_decay=0.5)
    scale = {names[id(v)]: group["scale"] for group in groups for v in group["params"]}
    assert scale["image.head.linear.weight"] == scale["logit_scale"] == 1
    assert scale["image.tower.norm.weight"] == 1
    assert scale["image.tower.blocks.2.mlp.expand.weight"] == 0.5
    assert scale["image.tower.blocks.0.mlp.expand.weight"] == 0.125
    assert scale["image.tower.patch_embedding.weight"] == 0.0625
    assert scale["text.tower.blocks.0.mlp.expand.weight"] == 0.25
    assert scale["text.tower.token_embedding.weight"] == 0.125


@pytest.mark.parametrize(
    ("config", "beta2", "epsilon"), [(VIT, 0.98, 1e-6), (RESNET, 0.999, 1e-8)], ids=["vit", "rn"]
)
def test_adam_has_the_papers_numbers_for_each_kind_of_tower(config, beta2, epsilon):
    group = build_optimizer(Clip(config), TrainConfig()).param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.9, beta2), epsilon)


def test_a_locked_tower_is_left_out():
    clip = Clip(VIT)
    optimizer = build_optimizer(clip, TrainConfig(lock="image"))
    learnt = {id(value) for group in optimizer.param_groups for value in group["params"]}
    assert not learnt & {id(value) for value in clip.image.parameters()}
    assert {id(value) for value in clip.text.parameters()} < learnt


def test_stochastic_rounding_is_right_on_average_and_exact_where_it_can_be():
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([1.0 + 2**-10, -3.14159, 1e-20, 65504.0])
    rounds = torch.stack([round_stochastically(values, generator).double() for _ in range(20_000)])
    for place, value in enumerate(values.double()):
        column = rounds[:, place]
        assert len(column.unique()) <= 2
        error = (column.mean() - value).abs()
        assert error <= 5 * column.std() / math.sqrt(len(column)) + 1e-30
    exact = torch.tensor([0.0, 1.0, -2.5, math.inf, -math.inf])
    assert torch.equal(round_stochastically(exact, generator).float(), exact)
    assert round_stochastically(torch.tensor([math.nan]), generator).isnan().all()


def test_moments_of_half_the_size_go_where_adamw_goes():
    """Plain bfloat16 would never see a change of 1 in 1000; here the path stays close."""
    torch.manual_seed(0)
    target = torch.randn(400)
    ends = []
    for kind in ("full", "half"):
        value = torch.nn.Parameter(torch.zeros(400))
        if kind == "full":
            optimizer = torch.optim.AdamW([value], lr=0.01, betas=(0.9, 0.999), weight_decay=0.1)
        else:
            groups = [{"params": [value], "weight_decay": 0.1}]
            optimizer = HalfMomentAdamW(groups, betas=(0.9, 0.999), eps=1e-8, seed=0, lr=0.01)
        for _ in range(300):
            optimizer.zero_grad()
            (value - target).square().sum().backward()
            optimizer.step()
        ends.append(value.detach())
    assert optimizer.state[value]["exp_avg_sq"].dtype == torch.bfloat16
    assert (ends[0] - ends[1]).abs().mean() < 0.02


def test_seeds_of_different_numbers_differ():
    found = {mixed(a, b) for a in range(60) for b in range(60)}
    assert len(found) == 3600
    assert mixed(1, 2) != mixed(2, 1)
    assert all(0 <= seed < 2**63 for seed in found)


def test_an_example_stays_on_its_side_when_others_come():
    few = split_examples([f"{n}.jpg" for n in range(400)], held_out=0.25, seed=1)
    many = split_examples([f"{n}.jpg" for n in range(800)], held_out=0.25, seed=1)
    assert set(few[1]) <= set(many[1])
    assert 60 < len(few[1]) < 140
    assert sorted(few[0] + few[1]) == list(range(400))


def _checkpoint(folder: Path, step: int) -> Path:
    return state.save(folder, step, {"a": torch.full((3,), float(step))}, {"metrics_size": step})


def test_the_newest_whole_checkpoint_is_found_and_a_damaged_one_named(tmp_path: Path):
    for step in (5, 10, 100):
        _checkpoint(tmp_path, step)
    saved, damaged = state.newest(tmp_path)
    assert (saved.step, damaged) == (100, [])
    assert torch.equal(saved.tensors["a"], torch.full((3,), 100.0))
    for path in sorted((tmp_path / "step-00000100").iterdir()):
        content = path.read_bytes()
        for changed in (content[:-2], content[:-3] + bytes([content[-3] ^ 1]) + content[-2:], b""):
            path.write_bytes(changed)
            saved, damaged = state.newest(tmp_path)
            assert saved.step == 10
            assert "step-00000100" in damaged[0]
        path.write_bytes(content)
    assert state.newest(tmp_path)[0].step == 100


def test_only_damaged_checkpoints_are_an_error_and_none_is_a_fresh_start(tmp_path: Path):
    assert state.newest(tmp_path / "none") == (None, [])
    path = _checkpoint(tmp_path, 5)
    (path / "state.json").unlink()
    with pytest.raises(DataError, match="all 1 checkpoints are damaged"):
        state.newest(tmp_path)


def test_a_renamed_checkpoint_is_not_taken_for_another_step(tmp_path: Path):
    _checkpoint(tmp_path, 5).rename(tmp_path / "step-00000050")
    with pytest.raises(DataError, match="is the checkpoint of step 5, renamed"):
        state.newest(tmp_path)


def test_old_checkpoints_go_and_the_newest_stay(tmp_path: Path):
    for step in (5, 10, 100, 20):
        _checkpoint(tmp_path, step)
    state.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000100"]


def test_a_second_writer_is_refused_and_a_dead_one_forgotten(tmp_path: Path):
    holder = (
        "import sys; from pathlib import Path; from wordsight.locks import locked\n"
        f"with locked(Path({str(tmp_path)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().strip() == "held"
        with pytest.raises(BusyError, match=f"process {process.pid} on"), locked(tmp_path):
            pass
        process.kill()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"micro_batch": 512}, "micro_batch 512 is larger than batch_size 256"),
        ({"sharding": "full", "compile": True}, "sharding 'full' needs compile = False"),
        ({"sharding": "full", "moments": "bfloat16"}, "sharding 'full' needs moments"),
        ({"sharding": "full", "precision": "float16"}, "needs precision float32 or bfloat16"),
        ({"held_out": 1.0}, "held_out must be 0 or more and below 1"),
        ({"layer_decay": 1.5}, "layer_decay must be above 0, 1 at most"),
        ({"learning_rate": math.nan}, "learning_rate must be"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**setting)


def test_the_papers_vocabulary_is_found_where_open_clip_is_installed(tmp_path: Path):
    pytest.importorskip("open_clip")
    config = TrainConfig(architecture="tiny-vit-64", vocabulary="openai", context_length=20)
    tokenizer = vocabulary(config, [], tmp_path)
    assert (tokenizer.vocabulary_size, tokenizer.rules.context_length) == (49408, 20)
    assert (tmp_path / "tokenizer.json").read_bytes() == tokenizer.to_bytes()
    again = vocabulary(config, [], tmp_path)
    assert again.encode(["a cat"]).ids.tolist() == tokenizer.encode(["a cat"]).ids.tolist()
