"""What a training run holds in memory, part by part, without allocating any of it.

Shape letters: B pairs, S side of the pictures, L tokens, E joint space.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from wordsight.model.architecture import ClipConfig
from wordsight.model.clip import Clip
from wordsight.model.layers import Block
from wordsight.model.losses import TILE
from wordsight.model.resnet import Stage
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import AHEAD
from wordsight.training.contrastive.optimizer import lock

FLOAT, HALF = 4, 2
MOMENTS = {"float32": 2 * FLOAT, "bfloat16": 2 * HALF}
TILES_AT_ONCE = 4
"""Tiles of similarities that a loss holds together."""
FEW, MORE = 2, 4
"""Pairs that are followed through the towers, to tell what grows with them from what does not."""
TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """Bytes of one process."""

    weights: int
    gradients: int
    moments: int
    average: int
    """Moving average of the weights."""
    activations: int
    """What the backward pass of one micro batch needs."""
    copies: int
    """Weights in half precision, which the backward pass needs too."""
    batch: int
    """Pictures and vectors of the batch."""
    tiles: int
    """Similarities of the loss."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(getattr(self, part.name) for part in fields(self))


def footprint(
    architecture: ClipConfig, config: TrainConfig, *, num_processes: int = 1
) -> Footprint:
    """Return what each of some processes holds at most.

    Activations are those that autograd keeps in a forward pass of fake tensors, so that every layer
    is counted as it is; what a library needs for itself comes on top.
    """
    pairs = -(-config.batch_size // num_processes)
    micro = min(pairs, -(-config.micro_batch // num_processes) or pairs)
    with FakeTensorMode():
        clip = Clip(architecture)
        lock(clip, config.lock)
        few, more = (_activations(clip, config, count) for count in (FEW, MORE))
    weights = sum(value.numel() for value in clip.state_dict().values())
    learnt = sum(value.numel() for value in clip.parameters() if value.requires_grad)
    a_pair = (more - few) / (MORE - FEW)
    pixels = 3 * architecture.image.image_size**2
    vectors = 2 * architecture.embed_dim * FLOAT
    return Footprint(
        weights=FLOAT * weights,
        gradients=FLOAT * learnt,
        moments=MOMENTS[config.moments] * learnt,
        average=FLOAT * weights if config.average else 0,
        activations=round(micro * a_pair),
        copies=round(max(0.0, few - FEW * a_pair)),
        batch=pairs * (pixels * (FLOAT + AHEAD + 1) + 3 * vectors) + config.batch_size * vectors,
        tiles=TILES_AT_ONCE * FLOAT * min(TILE, pairs) * min(TILE, config.batch_size),
    )


@dataclass(slots=True)
class _Kept:
    """Bytes that autograd keeps, each storage once."""

    seen: set[int]
    """Storages that need no more memory: those of weights."""
    storages: list[Tensor] = field(default_factory=list[Tensor])
    num_bytes: int = 0

    def pack(self, value: Tensor) -> Tensor:
        key = _storage_key(value)
        if key not in self.seen:
            self.seen.add(key)
            self.storages.append(value)  # so that its key is not used again
            self.num_bytes += value.untyped_storage().nbytes()
        return value


def _storage_key(value: Tensor) -> int:
    return value.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _activations(clip: Clip, config: TrainConfig, pairs: int) -> int:
    """Return the bytes kept between a forward and a backward pass of so many pairs."""
    architecture, text = clip.config, clip.config.text
    clip.train()
    for module in clip.modules():
        if isinstance(module, VisionTransformer):
            module.patch_dropout = config.patch_dropout
    side = architecture.image.image_size
    pixels = torch.empty(pairs, 3, side, side)
    tokens = torch.zeros(pairs, text.context_length, dtype=torch.int64)
    kept = _Kept({_storage_key(value) for value in clip.parameters()})
    layers = _Layers(lambda: kept.num_bytes)
    handles = [handle for module in clip.modules() for handle in layers.follow(module)]
    is_half = config.precision != "float32"
    graph: Any = torch.autograd.graph
    with (
        torch.autocast("cpu", TYPES.get(config.precision, torch.bfloat16), enabled=is_half),
        graph.saved_tensors_hooks(kept.pack, _as_it_is),
    ):
        outputs = clip.image(pixels), clip.text(tokens)
    for handle in handles:
        handle.remove()
    del outputs
    return kept.num_bytes - (layers.saved_by_checkpoints() if config.checkpoint_gradients else 0)


@dataclass(slots=True)
class _Layers:
    """What each layer keeps, and what it would keep if only its input were."""

    so_far: Callable[[], int]
    inputs: list[int] = field(default_factory=list[int])
    kept: list[int] = field(default_factory=list[int])

    def follow(self, module: nn.Module) -> list[Any]:
        if not isinstance(module, (Block, Stage)):
            return []
        return [
            module.register_forward_pre_hook(self._before),
            module.register_forward_hook(self._after),
        ]

    def _before(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.inputs.append(sum(x.nbytes for x in inputs if isinstance(x, Tensor)))
        self.kept.append(-self.so_far())

    def _after(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.kept[-1] += self.so_far()

    def saved_by_checkpoints(self) -> int:
        """Return the bytes that checkpoints save: one layer at a time is whole, with gradients."""
        return max(0, sum(self.kept) - 2 * max(self.kept) - sum(self.inputs))
