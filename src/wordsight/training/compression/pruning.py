"""Removing whole heads, neurons and layers of a vision transformer: a smaller dense tower remains.

Every layer keeps as many heads and as many neurons as the others, so that config.json can say what
the tower is; which ones, each layer decides for itself.

A gate of 1 stands, in thought, behind every head, every neuron of an MLP and every layer. What a
part is worth is how far the picture's unit vector f would move without it, to first order
(Molchanov et al., 2019, arXiv 1906.10771, whose eq. 8 has the loss where f stands here; of heads:
Michel et al., 2019, arXiv 1905.10650, eq. 2):

    I(gate) = mean over pictures of || df / dgate ||^2

The loss of a distillation cannot take the place of f: its gradient is zero where the student still
is the parent. The square of the Jacobian's column is estimated without computing it, by random
directions r (Hutchinson, 1990): for independent standard normal r, the mean square of
d(r . f) / dgate is || df / dgate ||^2. The derivative by a gate is the sum of w * dw over the
weights behind it.

Shape letters: B pictures, D width, H heads, d width of a head, M neurons, E joint space.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wordsight.model.architecture import VisionTransformerConfig
from wordsight.model.attention_pool import AttentionPool
from wordsight.model.clip import ProjectedTower
from wordsight.model.initialise import blocks_of
from wordsight.model.layers import Block
from wordsight.model.outputs import EMBEDDING
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.model.weights import fit_weights

MICRO_BATCH = 8
"""Pictures whose squares are taken together; their random directions keep them apart."""

BLOCKS = "tower.blocks."

Layer = Block | AttentionPool


@dataclass(frozen=True, slots=True)
class Importance:
    """What the parts of a tower are worth; the pool, where there is one, is the last row."""

    heads: Tensor
    """(layers, H)"""
    neurons: Tensor
    """(layers, M)"""
    layers: Tensor
    """(depth,); the pool cannot be left out."""


def importance(
    tower: ProjectedTower,
    batches: Sequence[Tensor],
    *,
    generator: torch.Generator,
    on_batch: Callable[[int, int], None] | None = None,
) -> Importance:
    """Measure what every head, neuron and layer is worth on pictures; no label is needed.

    Args:
        tower: a vision transformer with its projection; is left as it was.
        batches: normalised pixels (B, 3, S, S) of a few pictures each, `MICRO_BATCH` at best.
        generator: draws the random directions.
        on_batch: called with the number of batches done and of all.
    """
    vit = transformer(tower)
    layers = layers_of(vit)
    found = [_Squares.of(layer) for layer in layers]
    tower.eval()
    for number, pixels in enumerate(batches):
        tower.zero_grad(set_to_none=True)
        vectors = tower(pixels)[EMBEDDING]
        directions = torch.randn(vectors.shape, generator=generator).to(vectors)
        (vectors * directions).sum().backward()
        for squares, layer in zip(found, layers, strict=True):
            squares.add(layer)
        if on_batch:
            on_batch(number + 1, len(batches))
    tower.zero_grad(set_to_none=True)
    num_pictures = sum(len(pixels) for pixels in batches)
    return Importance(
        heads=torch.stack([squares.heads for squares in found]) / num_pictures,
        neurons=torch.stack([squares.neurons for squares in found]) / num_pictures,
        layers=torch.stack([squares.layer for squares in found[: vit.config.depth]]) / num_pictures,
    )


@dataclass(slots=True)
class _Squares:
    """Sums of squared derivatives by the gates of one layer."""

    heads: Tensor
    neurons: Tensor
    layer: Tensor

    @staticmethod
    def of(layer: Layer) -> "_Squares":
        weight = layer.attention.out.weight
        zeros = weight.new_zeros
        return _Squares(
            zeros(layer.attention.num_heads), zeros(layer.mlp.project.in_features), zeros(())
        )

    def add(self, layer: Layer) -> None:
        """Add the squares of the gradients that the layer holds."""
        out, project = layer.attention.out, layer.mlp.project
        heads = _by_gate(out).reshape(layer.attention.num_heads, -1).sum(dim=1)
        neurons = _by_gate(project)
        biases = [(linear.bias * _gradient(linear.bias)).sum() for linear in (out, project)]
        self.heads += heads.detach().square()
        self.neurons += neurons.detach().square()
        self.layer += (heads.sum() + neurons.sum() + sum(biases)).detach().square()


def _by_gate(linear: nn.Linear) -> Tensor:
    """Return the derivative by a gate in front of every input of a linear layer."""
    return (linear.weight * _gradient(linear.weight)).sum(dim=0)


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def transformer(tower: ProjectedTower) -> VisionTransformer:
    """Return the vision transformer of a tower.

    Raises:
        TypeError: if it is another tower; callers refuse it with words of their own.
    """
    if not isinstance(tower.tower, VisionTransformer):
        raise TypeError(f"expected a vision transformer, got {type(tower.tower).__name__}")
    return tower.tower


def layers_of(vit: VisionTransformer) -> list[Layer]:
    """Return what can be pruned: the blocks, and the pool where the tower has one."""
    return [*blocks_of(vit), *([] if vit.pool is None else [vit.pool])]


def pruned_config(
    config: VisionTransformerConfig, *, keep: float, keep_layers: float = 1.0
) -> VisionTransformerConfig:
    """Return the config of the tower that remains; at least one of everything does."""
    num_heads = max(1, round(keep * config.num_heads))
    is_whole = num_heads == config.num_heads
    return replace(
        config,
        depth=max(1, round(keep_layers * config.depth)),
        num_heads=num_heads,
        head_width=config.head_width if is_whole else config.attention_width // config.num_heads,
        mlp_width=max(1, round(keep * config.mlp_width)),
    )


@torch.no_grad()
def prune(
    tower: ProjectedTower, config: VisionTransformerConfig, worth: Importance
) -> ProjectedTower:
    """Return a smaller tower: the parts of a tower that are worth most, in their old order.

    Nothing is removed where the config is the tower's own: the same weights come back.

    Args:
        tower: is left as it was.
        config: of `pruned_config`.
        worth: of `importance`.
    """
    vit = transformer(tower)
    head_width = vit.config.attention_width // vit.config.num_heads
    layers = layers_of(vit)
    state = tower.state_dict()
    weights = {name: value for name, value in state.items() if not name.startswith(BLOCKS)}
    kept = [int(number) for number in _best(worth.layers, config.depth)]
    places = {number: f"{BLOCKS}{place}" for place, number in enumerate(kept)}
    if vit.pool is not None:
        places[vit.config.depth] = "tower.pool"
    for number, name in places.items():
        cut = _cut(
            dict(layers[number].state_dict()),
            heads=_best(worth.heads[number], config.num_heads),
            neurons=_best(worth.neurons[number], config.mlp_width),
            head_width=head_width,
        )
        weights |= {f"{name}.{part}": value for part, value in cut.items()}
    with torch.device("meta"):
        left = VisionTransformer(config)
    smaller = ProjectedTower(left, copy.deepcopy(tower.head))
    fit_weights(smaller, {name: v.clone() for name, v in weights.items()}, where="pruned tower")
    return smaller.eval()


def _best(worth: Tensor, count: int) -> Tensor:
    """Return the places of the largest values, in ascending order; the first of equals."""
    order = worth.argsort(descending=True, stable=True)
    return order[:count].sort().values


def _cut(
    own: dict[str, Tensor], *, heads: Tensor, neurons: Tensor, head_width: int
) -> dict[str, Tensor]:
    """Return the weights of a layer (blocks and pool call them the same) with fewer parts."""
    rows = (heads[:, None] * head_width + torch.arange(head_width)).flatten()
    weights = dict(own)
    for kind in ("weight", "bias"):
        qkv = own[f"attention.qkv.{kind}"]
        weights[f"attention.qkv.{kind}"] = torch.cat([part[rows] for part in qkv.chunk(3)])
        weights[f"mlp.expand.{kind}"] = own[f"mlp.expand.{kind}"][neurons]
    weights["attention.out.weight"] = own["attention.out.weight"][:, rows]
    weights["mlp.project.weight"] = own["mlp.project.weight"][:, neurons]
    return weights
