"""A batch in parts gives the gradient of the whole, dropout, batch norms and scale included."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import Clip
from wordsight.model.losses import info_nce, sigmoid
from wordsight.training.contrastive.step import Outputs, Towers, Work, backward

TEXT = TextTransformerConfig(
    vocab_size=50, context_length=6, width=32, depth=1, num_heads=2, mlp_width=64
)
VIT = ClipConfig(
    image=VisionTransformerConfig(
        image_size=16, patch_size=4, width=32, depth=2, num_heads=2, mlp_width=64
    ),
    text=TEXT,
    embed_dim=24,
)
RESNET = ClipConfig(
    image=ModifiedResNetConfig(
        image_size=64, depths=(1, 1, 1, 1), width=4, num_heads=4, output_width=24
    ),
    text=TEXT,
    embed_dim=24,
)


def build(config: ClipConfig, *, has_bias: bool = False) -> Towers:
    torch.manual_seed(0)
    clip = Clip(config).double()
    if has_bias:
        clip.logit_bias = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))
    for value in clip.parameters():
        if value.ndim:
            nn.init.normal_(value, std=0.2)
    return Towers(clip).train()


def inputs(config: ClipConfig, count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    side = config.image.image_size
    pixels = torch.randn(count, 3, side, side, generator=generator, dtype=torch.float64)
    return pixels, torch.randint(1, 50, (count, 6), generator=generator)


def contrastive(outputs: Outputs) -> Tensor:
    return info_nce(*outputs)


def pairwise(outputs: Outputs) -> Tensor:
    return sigmoid(*outputs)


def gradients(towers: Towers) -> dict[str, Tensor]:
    return {n: p.grad for n, p in towers.named_parameters() if p.grad is not None}


def in_parts(
    towers: Towers,
    loss: Callable[[Outputs], Tensor],
    micro_batch: int,
) -> tuple[float, dict[str, Tensor]]:
    mine = copy.deepcopy(towers)
    value = backward(
        mine, *inputs(towers.clip.config), loss, seed=5, work=Work(micro_batch=micro_batch)
    )
    return value, gradients(mine)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = 1e-6) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        bound = rtol * max(float(value.abs().max()), 1e-3)
        assert (found[name] - value).abs().max() <= bound, name


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 11, 12])
@pytest.mark.parametrize("loss", [contrastive, pairwise])
def test_any_number_of_parts_gives_the_gradient_of_the_whole_batch(micro_batch, loss):
    towers = build(VIT, has_bias=loss is pairwise)
    whole = in_parts(towers, loss, 0)
    parts = in_parts(towers, loss, micro_batch)
    assert parts[0] == pytest.approx(whole[0], rel=1e-7)
    assert "clip.logit_scale" in parts[1]
    assert_same(parts[1], whole[1])


def one_graph(towers: Towers, micro_batch: int) -> tuple[float, dict[str, Tensor], Towers]:
    """The same parts with the same seeds, all kept in one graph: what caching must equal."""
    from wordsight.training.contrastive.seeds import mixed

    mine = copy.deepcopy(towers)
    pixels, tokens = inputs(towers.clip.config)
    found = []
    for number, start in enumerate(range(0, len(pixels), micro_batch)):
        torch.manual_seed(mixed(5, number))
        part = slice(start, start + micro_batch)
        found.append(mine(pixels[part], tokens[part]))
    images, texts = (torch.cat([outputs[side] for outputs in found]) for side in (0, 1))
    loss = info_nce(images, texts, mine.clip.logit_scale)
    loss.backward()
    return float(loss.detach()), gradients(mine), mine


def with_dropout(towers: Towers) -> Towers:
    """Put dropout behind every MLP and leave out patches."""
    for module in towers.modules():
        if hasattr(module, "mlp"):
            module.mlp = nn.Sequential(module.mlp, nn.Dropout(0.3))
        if hasattr(module, "patch_dropout"):
            module.patch_dropout = 0.5
    return towers


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["dropout", "batch norm"])
def test_dropout_and_batch_norm_see_the_same_in_both_passes(config):
    towers = build(config)
    if config is VIT:
        towers = with_dropout(towers)
    expected = one_graph(towers, 4)
    value, found = in_parts(towers, contrastive, 4)
    assert value == pytest.approx(expected[0], rel=1e-7)
    assert_same(found, expected[1])


def test_batch_statistics_are_counted_once():
    towers = build(RESNET)
    _, _, expected = one_graph(towers, 4)
    backward(towers, *inputs(RESNET), contrastive, seed=5, work=Work(micro_batch=4))
    statistics = dict(expected.named_buffers())
    assert any(name.endswith("running_mean") for name in statistics)
    for name, value in towers.named_buffers():
        torch.testing.assert_close(value, statistics[name], rtol=1e-9, atol=1e-12)


def test_a_step_leaves_the_global_source_of_randomness_alone():
    towers = with_dropout(build(VIT))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    backward(towers, *inputs(VIT), contrastive, seed=5, work=Work(micro_batch=5))
    assert torch.equal(torch.rand(3), expected)


def test_a_locked_tower_gets_no_gradient_and_the_other_the_right_one():
    towers = build(VIT)
    towers.clip.image.requires_grad_(False)
    whole = in_parts(towers, contrastive, 0)[1]
    parts = in_parts(towers, contrastive, 5)[1]
    assert not any(name.startswith("clip.image") for name in parts)
    assert_same(parts, whole)
