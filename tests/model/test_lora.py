"""Adapters: what they learn, what they leave alone, and that they come out of a weight again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wordsight.errors import CheckpointError, ConfigError
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import Clip, build_clip
from wordsight.model.initialise import initialise
from wordsight.model.lora import (
    Adapter,
    LoraConfig,
    adapter_metadata,
    adapter_of,
    add_lora,
    merged,
    names_of,
    read_metadata,
    unmerged,
)
from wordsight.model.outputs import EMBEDDING
from wordsight.model.reparametrised import attach, changes, plain_weights
from wordsight.model.singular_values import SingularValues, add_singular_values

VIT = VisionTransformerConfig(
    image_size=32, patch_size=8, width=32, depth=2, num_heads=2, mlp_width=48, activation="gelu"
)
SIGLIP = VisionTransformerConfig(
    image_size=32, patch_size=8, width=32, depth=2, num_heads=2, mlp_width=48, pooling="attention"
)
RESNET = ModifiedResNetConfig(
    image_size=32, depths=(1, 1, 1, 1), width=2, num_heads=2, output_width=24
)
TEXT = TextTransformerConfig(
    vocab_size=40, context_length=8, width=32, depth=2, num_heads=2, mlp_width=48
)
KINDS = {
    "vit": ClipConfig(image=VIT, text=TEXT, embed_dim=24),
    "siglip": ClipConfig(image=SIGLIP, text=TEXT, embed_dim=32, has_logit_bias=True),
    "resnet": ClipConfig(image=RESNET, text=TEXT, embed_dim=24),
}


def model(kind: str = "vit", seed: int = 0) -> Clip:
    clip = Clip(KINDS[kind])
    initialise(clip, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():  # the last norm of a fresh ResNet's block is zero
        for value in clip.parameters():
            value.add_(0.02 * torch.randn(value.shape, generator=torch.Generator().manual_seed(9)))
    return clip.eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    return pixels, torch.randint(1, 39, (4, 8), generator=generator)


def stirred(clip: Clip, seed: int = 3) -> Clip:
    """Give every learnt number of the adapters a value, as learning would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, change in changes(clip):
            for value in change.parameters():
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return clip


def largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max().detach())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["lora", "singular-values"])
def test_before_it_learns_an_adapted_model_is_the_model_to_the_bit(kind, way):
    clip, twin = model(kind), model(kind)
    add_lora(clip, LoraConfig(rank=3), seed=1) if way == "lora" else add_singular_values(clip)
    for one, other in zip(clip(*inputs()), twin(*inputs()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["lora", "singular-values"])
def test_merged_weights_in_a_plain_model_answer_like_the_adapted_one(kind, way):
    clip, before = model(kind), model(kind)
    add_lora(clip, LoraConfig(rank=3), seed=1) if way == "lora" else add_singular_values(clip)
    stirred(clip)
    plain = build_clip(clip.config, plain_weights(clip, clip.state_dict()))
    for one, other in zip(clip(*inputs()), plain(*inputs()), strict=True):
        assert largest(one, other) < 1e-6 * max(1.0, float(one.abs().max().detach()))
    assert largest(plain(*inputs()).images, before(*inputs()).images) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_merging_by_the_file_is_merging_by_the_model_and_comes_out_again(kind):
    clip, before = model(kind), dict(model(kind).state_dict())
    config = LoraConfig(rank=4, alpha=6.0)
    add_lora(clip, config, seed=1)
    adapter = adapter_of(stirred(clip), config)
    together = merged(before, adapter)
    plain = plain_weights(clip, clip.state_dict())
    assert set(together) == set(plain) == set(before)
    assert all(largest(together[name], plain[name]) < 1e-6 for name in plain)
    assert any(largest(together[name], before[name]) > 1e-3 for name in plain)
    apart = unmerged(together, adapter)
    assert all(largest(apart[name], before[name]) < 2e-7 for name in before)


@pytest.mark.parametrize("way", ["lora", "singular-values"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_adapter_and_nothing_else(kind, way):
    clip = model(kind)
    add_lora(clip, LoraConfig(rank=2), seed=1) if way == "lora" else add_singular_values(clip)
    stirred(clip)
    pixels, tokens = inputs()
    (clip.image(pixels)[EMBEDDING].sum() + clip.text(tokens)[EMBEDDING].sum()).backward()
    with_gradient = {n for n, v in clip.named_parameters() if v.grad is not None}
    learnt = {n for n, v in clip.named_parameters() if v.requires_grad}
    assert with_gradient == learnt
    assert learnt == {
        name for name in clip.state_dict() if name.endswith((".up", ".down", ".shift"))
    }
    ends = [
        name
        for name in learnt
        if not float(clip.get_parameter(name).grad.abs().sum()) and "patch" not in name
    ]
    assert ends == []


def test_only_the_parts_that_were_asked_for_are_changed():
    clip = model()
    add_lora(clip, LoraConfig(parts=("mlp",)), seed=0)
    names = [name for name, _ in changes(clip)]
    assert len(names) == 2 * 2 * 2
    assert all(".mlp." in name for name in names)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ConfigError, match="no linear layer of mlp"):
        add_lora(nn.Sequential(nn.Linear(2, 2)), LoraConfig(parts=("mlp",)), seed=0)


@settings(max_examples=25, deadline=None)
@given(outputs=st.integers(1, 12), inputs=st.integers(1, 12), seed=st.integers(0, 99))
def test_an_adapter_of_full_rank_can_be_any_change(outputs, inputs, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator)
    wanted = torch.randn(outputs, inputs, generator=generator)
    layer = nn.Linear(inputs, outputs)
    config = LoraConfig(rank=max(outputs, inputs), alpha=3.0)
    with torch.no_grad():
        layer.weight.copy_(weight)
    block = nn.Sequential()
    block.add_module("attention", layer)
    add_lora(block, config, seed=seed)
    ((_, change),) = changes(block)
    left, values, right = torch.linalg.svd(wanted.double(), full_matrices=False)
    with torch.no_grad():
        change.up.copy_(left * values / config.scale)
        change.down.copy_(right)
    assert largest(layer.weight, weight + wanted) < 1e-5


def test_a_change_has_no_more_directions_than_its_rank():
    clip = model()
    config = LoraConfig(rank=3)
    add_lora(clip, config, seed=0)
    adapter = adapter_of(stirred(clip), config)
    name = "image.tower.blocks.0.attention.qkv"
    change = adapter.change(f"{name}.weight")
    assert int(torch.linalg.matrix_rank(change.double(), atol=1e-6)) == 3
    assert name in names_of(adapter)


def test_the_change_is_the_published_product():
    clip = model()
    config = LoraConfig(rank=4, alpha=6.0)
    add_lora(clip, config, seed=0)
    stirred(clip)
    layer = clip.text.tower.blocks[1].mlp.expand
    ((_, change),) = [pair for pair in changes(clip) if pair[0] == "text.tower.blocks.1.mlp.expand"]
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(1)).double()
    weight = model().text.tower.blocks[1].mlp.expand
    expected = x @ weight.weight.double().T + weight.bias.double()
    expected = expected + 6.0 / 4 * (x @ change.down.double().T) @ change.up.double().T
    assert largest(layer(x.float()).double(), expected) < 1e-5


def test_dropout_leaves_out_inputs_of_the_change_while_it_learns_and_none_in_use():
    layer = nn.Sequential()
    layer.add_module("attention", nn.Linear(64, 8))
    add_lora(layer, LoraConfig(rank=8, dropout=0.5), seed=0)
    stirred(layer)
    linear = layer.get_submodule("attention")
    base = linear.parametrizations.weight.original
    layer.train()
    torch.manual_seed(0)
    columns = (linear.weight - base).abs().sum(dim=0)
    assert 16 < int((columns == 0).sum()) < 48
    mean = torch.stack([linear.weight - base for _ in range(4000)]).mean(dim=0)
    layer.eval()
    change = linear.weight - base
    assert largest(mean, change) < 0.1 * float(change.abs().max().detach())
    assert torch.equal(linear.weight, linear.weight)


def test_singular_values_move_and_singular_vectors_stay():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(4, 6)
    with torch.no_grad():
        layer.weight.copy_(weight)
    attach(layer, SingularValues(layer.weight.detach()))
    with torch.no_grad():
        layer.parametrizations.weight[0].shift.copy_(torch.tensor([0.5, 0.25, 0.1, 0.05]))
    left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
    expected = left @ torch.diag(values + torch.tensor([0.5, 0.25, 0.1, 0.05])) @ right
    assert largest(layer.weight.double(), expected) < 1e-6


def test_an_adapter_for_another_model_is_refused():
    adapter = Adapter(LoraConfig(rank=1), {"a.up": torch.ones(2, 1), "a.down": torch.ones(1, 3)})
    with pytest.raises(CheckpointError, match="'a', which this model does not have"):
        merged({"b.weight": torch.zeros(2, 3)}, adapter)
    with pytest.raises(CheckpointError, match=r"shape \(2, 3\); the model's is \(3, 3\)"):
        merged({"a.weight": torch.zeros(3, 3)}, adapter)


def test_the_words_of_an_adapter_file_say_how_it_was_made(tmp_path):
    config = LoraConfig(rank=5, alpha=2.5, dropout=0.1, parts=("attention",))
    assert read_metadata(adapter_metadata(config), tmp_path) == config
    for words in ({}, {"format": "wordsight-lora", "config": '{"rank": 0}'}):
        with pytest.raises(CheckpointError):
            read_metadata(words, tmp_path)


@pytest.mark.parametrize(
    "given", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("inf")}, {"dropout": 1.0}, {"parts": ()}]
)
def test_settings_that_mean_nothing_are_refused(given):
    with pytest.raises(ValueError):
        LoraConfig(**given)
