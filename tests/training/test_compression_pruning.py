"""Pruning: what is removed is what the importance says, and nothing else changes."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wordsight.errors import ConfigError
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
    describe,
    read_description,
)
from wordsight.model.clip import ProjectedTower, expected_shapes
from wordsight.model.outputs import EMBEDDING
from wordsight.model.size import measure
from wordsight.training.compression.pruning import (
    Importance,
    importance,
    layers_of,
    prune,
    pruned_config,
    transformer,
)
from wordsight.training.compression.student import new_student

VIT = VisionTransformerConfig(
    image_size=16, patch_size=8, width=16, depth=3, num_heads=4, mlp_width=20, activation="gelu"
)
SIGLIP = dataclasses.replace(VIT, pooling="attention")
E = 16


def tower(config: VisionTransformerConfig = VIT, seed: int = 0) -> ProjectedTower:
    made = new_student(config, embed_dim=E, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():  # biases and gains that matter
        for value in made.parameters():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    return made.double().eval()


def pictures(count: int = 5, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64)


def say(made: ProjectedTower, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return made(pixels)[EMBEDDING]


def drawn(config: VisionTransformerConfig, seed: int = 0) -> Importance:
    """Worths drawn at random: pruning must be right whatever they are."""
    generator = torch.Generator().manual_seed(seed)
    num_layers = config.depth + (config.pooling == "attention")
    return Importance(
        heads=torch.rand(num_layers, config.num_heads, generator=generator),
        neurons=torch.rand(num_layers, config.mlp_width, generator=generator),
        layers=torch.rand(config.depth, generator=generator),
    )


def cut(made: ProjectedTower, config: VisionTransformerConfig, worth: Importance) -> ProjectedTower:
    return prune(made, config, worth).double()


@pytest.mark.parametrize("config", [VIT, SIGLIP], ids=["clip", "siglip"])
def test_pruning_nothing_is_the_identity(config):
    whole = tower(config)
    same = pruned_config(config, keep=1.0)
    assert same == config
    left = cut(whole, same, drawn(config))
    for name, value in whole.state_dict().items():
        assert torch.equal(left.state_dict()[name], value)
    assert torch.equal(say(left, pictures()), say(whole, pictures()))
    assert not {id(v) for v in left.parameters()} & {id(v) for v in whole.parameters()}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([VIT, SIGLIP]), st.integers(1, 4), st.integers(1, 20), st.integers(0, 1000))
def test_parts_without_output_weights_can_be_removed_and_nothing_changes(
    config: VisionTransformerConfig, heads: int, neurons: int, seed: int
):
    whole, worth = tower(config, seed), drawn(config, seed)
    keep_heads = worth.heads.argsort(descending=True)[:, :heads]
    keep_neurons = worth.neurons.argsort(descending=True)[:, :neurons]
    with torch.no_grad():
        for layer, kept, alive in zip(
            layers_of(transformer(whole)), keep_heads, keep_neurons, strict=True
        ):
            out, project = layer.attention.out.weight, layer.mlp.project.weight
            dead = torch.ones(config.num_heads, dtype=torch.bool).index_fill(0, kept, False)
            out.view(16, config.num_heads, 4)[:, dead] = 0
            gone = torch.ones(config.mlp_width, dtype=torch.bool).index_fill(0, alive, False)
            project[:, gone] = 0
    smaller = dataclasses.replace(config, num_heads=heads, head_width=4, mlp_width=neurons)
    left = cut(whole, smaller, worth)
    assert torch.allclose(say(left, pictures()), say(whole, pictures()), atol=1e-13, rtol=0)


def test_a_layer_that_adds_nothing_can_be_removed_and_nothing_changes():
    whole = tower()
    silent = layers_of(transformer(whole))[1]
    with torch.no_grad():
        for linear in (silent.attention.out, silent.mlp.project):
            linear.weight.zero_()
            linear.bias.zero_()
    worth = dataclasses.replace(drawn(VIT), layers=torch.tensor([1.0, 0.0, 1.0]))
    left = cut(whole, dataclasses.replace(VIT, depth=2), worth)
    assert torch.allclose(say(left, pictures()), say(whole, pictures()), atol=1e-13, rtol=0)


def jacobian_squares(
    made: ProjectedTower, gated: Callable[[Tensor], None], pixels: Tensor
) -> float:
    """Mean over pictures of || df / dgate ||^2 by central differences of the gate."""
    step = 1e-5
    gated(torch.tensor(1 + step, dtype=torch.float64))
    above = say(made, pixels)
    gated(torch.tensor(1 - step, dtype=torch.float64))
    below = say(made, pixels)
    gated(torch.tensor(1.0, dtype=torch.float64))
    return float(((above - below) / (2 * step)).square().sum(dim=1).mean())


def gate(linear: nn.Linear, columns: slice, *, with_bias: bool = False) -> Callable[[Tensor], None]:
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()

    def set_to(value: Tensor) -> None:
        with torch.no_grad():
            linear.weight[:, columns] = weight[:, columns] * value
            if with_bias:
                linear.bias.copy_(bias * value)

    return set_to


@pytest.mark.parametrize("config", [VIT, SIGLIP], ids=["clip", "siglip"])
def test_importance_is_the_squared_movement_of_the_vectors(config):
    made, pixels = tower(config), pictures(6)
    repeats = 500  # the directions are random: their mean comes near the truth
    batches = [pixels[start : start + 3] for _ in range(repeats) for start in (0, 3)]
    worth = importance(made, batches, generator=torch.Generator().manual_seed(0))
    for number, layer in enumerate(layers_of(transformer(made))):
        out, project = layer.attention.out, layer.mlp.project
        for head in range(config.num_heads):
            wanted = jacobian_squares(made, gate(out, slice(4 * head, 4 * head + 4)), pixels)
            assert float(worth.heads[number, head]) == pytest.approx(wanted, rel=0.2)
        wanted = jacobian_squares(made, gate(project, slice(7, 8)), pixels)
        assert float(worth.neurons[number, 7]) == pytest.approx(wanted, rel=0.2)
        if number < config.depth:
            both = [gate(linear, slice(None), with_bias=True) for linear in (out, project)]
            wanted = jacobian_squares(made, lambda v, both=both: [g(v) for g in both], pixels)
            assert float(worth.layers[number]) == pytest.approx(wanted, rel=0.2)


def test_measuring_leaves_the_tower_as_it_was():
    made = tower()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    importance(made, [pictures(2)], generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    assert all(value.grad is None for value in made.parameters())


def test_a_pruned_tower_is_what_its_config_says_and_the_config_survives_its_file():
    config = pruned_config(VIT, keep=0.5, keep_layers=0.67)
    assert (config.num_heads, config.head_width, config.mlp_width, config.depth) == (2, 4, 10, 2)
    assert config.attention_width == 8
    left = cut(tower(), config, drawn(VIT))
    text = TextTransformerConfig(
        vocab_size=8, context_length=4, width=16, depth=1, num_heads=2, mlp_width=8
    )
    clip = ClipConfig(image=config, text=text, embed_dim=E)
    shapes = {n: s for n, s in expected_shapes(clip).items() if n.startswith("image.")}
    assert {f"image.{n}": tuple(v.shape) for n, v in left.state_dict().items()} == shapes
    count = sum(value.numel() for value in left.parameters())
    assert measure(clip).image.parameters == count
    assert read_description(describe(config), where="here") == config
    assert "head_width" not in describe(VIT)  # bundles of whole towers stay as they were
    again = pruned_config(config, keep=0.5)
    assert (again.num_heads, again.head_width) == (1, 4)


def test_impossible_head_widths_are_refused():
    with pytest.raises(ConfigError, match="head_width"):
        read_description({**describe(VIT), "head_width": 0}, where="here")
    with pytest.raises(ConfigError, match="divide"):
        read_description({**describe(VIT), "num_heads": 3}, where="here")
    odd = read_description({**describe(VIT), "num_heads": 3, "head_width": 5}, where="here")
    assert isinstance(odd, VisionTransformerConfig)
    assert odd.attention_width == 15


def test_only_vision_transformers_are_pruned():
    resnet = new_student(
        ModifiedResNetConfig(
            image_size=32, depths=(1, 1, 1, 1), width=2, num_heads=2, output_width=E
        ),
        embed_dim=E,
        seed=0,
    )
    with pytest.raises(TypeError, match="expected a vision transformer"):
        transformer(resnet)
