"""Low-rank adapters: a weight plus the product of two thin matrices (Hu et al., 2021, LoRA).

W' = W + alpha / rank * up @ down (arXiv 2106.09685, section 4.1), for the linear layers of both
towers. Only `up` and `down` are learnt: a file of some hundred kilobytes holds them.

Shape letters: O outputs, I inputs of a layer, R rank.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordsight.config import from_dict, to_dict
from wordsight.errors import CheckpointError, ConfigError
from wordsight.model.reparametrised import attach, changes

Part = Literal["attention", "mlp"]
FORMAT = "wordsight-lora"
UP, DOWN = ".up", ".down"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraConfig:
    """Where adapters sit, and how large they are."""

    rank: int = 8
    """R: how many directions of a weight may change."""
    alpha: float = 16.0
    """The change is alpha / rank times the product."""
    dropout: float = 0.0
    """Share of a layer's inputs that the change does not see; one draw for all of a batch."""
    parts: tuple[Part, ...] = ("attention", "mlp")
    """Linear layers that get one."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be 1 or more, got {self.rank}")
        if not self.alpha > 0 or not math.isfinite(self.alpha):
            raise ValueError(f"alpha must be a number above 0, got {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, got {self.dropout}")
        if not self.parts:
            raise ValueError("parts are empty: nothing would be learnt")

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return self.alpha / self.rank


class LowRank(nn.Module):
    """What changes one weight (O, I); nothing, before it learns, because `up` is zero."""

    def __init__(self, weight: Tensor, config: LoraConfig, generator: torch.Generator):
        super().__init__()
        outputs, inputs = weight.shape
        rank = min(config.rank, outputs, inputs)  # more than the weight has would change nothing
        self.scale, self.dropout = config.scale, config.dropout
        bound = inputs**-0.5  # as torch draws a new linear layer
        down = torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight (O, I)."""
        down = self.down
        if self.training and self.dropout:
            down = down * F.dropout(torch.ones_like(down[:1]), self.dropout)
        return weight + low_rank(self.up, down, self.scale)


def low_rank(up: Tensor, down: Tensor, scale: float) -> Tensor:
    """Return the change (O, I) that `up` (O, R) and `down` (R, I) stand for."""
    return scale * (up @ down)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Learnt matrices, away from any model."""

    config: LoraConfig
    tensors: Mapping[str, Tensor]
    """`<layer>.up` (O, R) and `<layer>.down` (R, I) for the name of every changed layer."""

    def change(self, name: str) -> Tensor | None:
        """Return what is added to the weight of a name, if anything."""
        layer = name.removesuffix(".weight")
        if not name.endswith(".weight") or f"{layer}{UP}" not in self.tensors:
            return None
        up, down = self.tensors[f"{layer}{UP}"], self.tensors[f"{layer}{DOWN}"]
        return low_rank(up, down, self.config.scale)


def add_lora(model: nn.Module, config: LoraConfig, *, seed: int) -> None:
    """Give the linear layers of a model adapters, and let nothing else learn.

    Raises:
        ConfigError: if the model has no layer of the parts that were asked for.
    """
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    untyped: Any = model
    layers: list[nn.Linear] = [
        module
        for name, module in untyped.named_modules()
        if isinstance(module, nn.Linear) and _part(name) in config.parts
    ]
    if not layers:
        raise ConfigError(f"the model has no linear layer of {', '.join(config.parts)}")
    for layer in layers:
        attach(layer, LowRank(layer.weight.detach(), config, generator))


def _part(name: str) -> str | None:
    """Say what a layer belongs to; the attention that pools a ResNet has layers of its own."""
    parts = name.split(".")
    if "mlp" in parts:
        return "mlp"
    return "attention" if "attention" in parts or "pool" in parts else None


@torch.no_grad()
def adapter_of(model: nn.Module, config: LoraConfig) -> Adapter:
    """Return what a model with adapters has learnt."""
    tensors: dict[str, Tensor] = {}
    for name, change in changes(model):
        learnt = cast(LowRank, change)
        tensors[f"{name}{UP}"] = learnt.up.detach().cpu().clone()
        tensors[f"{name}{DOWN}"] = learnt.down.detach().cpu().clone()
    return Adapter(config, tensors)


def merged(weights: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Return weights with the changes of an adapter in them; nothing is left to compute in use.

    Raises:
        CheckpointError: if the adapter belongs to other layers or shapes.
    """
    return _moved(weights, adapter, 1.0)


def unmerged(weights: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Take the changes of an adapter out of weights again, to one rounding of float32.

    Raises:
        CheckpointError: if the adapter belongs to other layers or shapes.
    """
    return _moved(weights, adapter, -1.0)


def _moved(weights: Mapping[str, Tensor], adapter: Adapter, sign: float) -> dict[str, Tensor]:
    for name in adapter.tensors:
        layer = name.removesuffix(UP).removesuffix(DOWN)
        if f"{layer}.weight" not in weights:
            raise CheckpointError(f"the adapter changes {layer!r}, which this model does not have")
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        change = adapter.change(name)
        if change is not None and change.shape != value.shape:
            raise CheckpointError(
                f"the adapter changes {name!r} of shape {tuple(change.shape)}; the model's is "
                f"{tuple(value.shape)}"
            )
        found[name] = value if change is None else value + sign * change.to(value)
    return found


def adapter_metadata(config: LoraConfig) -> dict[str, str]:
    """Return the words about an adapter that its file holds."""
    return {"format": FORMAT, "config": json.dumps(to_dict(config))}


def read_metadata(values: Mapping[str, str], path: Path) -> LoraConfig:
    """Read the words about an adapter.

    Raises:
        CheckpointError: if they are those of another kind of file.
    """
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is no adapter of wordsight")
    try:
        given = json.loads(values.get("config", ""))
        return from_dict(LoraConfig, given, where=str(path))
    except (ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: its settings cannot be read: {error}") from None


def names_of(adapter: Adapter) -> Sequence[str]:
    """Return the layers that an adapter changes, in order."""
    return [name.removesuffix(UP) for name in adapter.tensors if name.endswith(UP)]
