"""What config.json of a Hugging Face folder says of a transformer, and how ours is said there.

Keys that a file leaves out have the defaults of transformers, which depend on the kind of model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wordsight.bundle.schema import read_json
from wordsight.checkpoints.links import Link, stacked
from wordsight.config import nearest
from wordsight.errors import BundleError, CheckpointError
from wordsight.model.architecture import (
    Activation,
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

ACTIVATIONS: Mapping[str, Activation] = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
"""Our activation for `hidden_act`; the first name of each is the one that is written."""

QKV = stacked(1, 1, 1)
BLOCK_PARTS = (
    ("norm1", "layer_norm1"),
    ("attention.out", "self_attn.out_proj"),
    ("norm2", "layer_norm2"),
    ("mlp.expand", "mlp.fc1"),
    ("mlp.project", "mlp.fc2"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of config.json, or of one of its tables, read with their types checked."""

    where: str
    """File, and table in it; for messages."""
    values: Mapping[str, Any]

    def table(self, name: str) -> "Settings":
        """Return a table, empty if it is missing."""
        value = self._get(name, {}, dict, "a table")
        return Settings(f"{self.where}: {name}", cast(Mapping[str, Any], value))

    def has(self, name: str) -> bool:
        """Say whether a key is there and not null."""
        return self.values.get(name) is not None

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        return self._get(name, default, int, "a whole number")

    def real(self, name: str, default: float) -> float:
        """Return a number."""
        return float(self._get(name, default, (int, float), "a number"))

    def text(self, name: str, default: str) -> str:
        """Return a string."""
        return self._get(name, default, str, "a string")

    def side(self, name: str, default: int) -> int:
        """Return a number of pixels, given as one number or as the equal sides of a square."""
        value = self.values.get(name)
        if not isinstance(value, list):
            return self.number(name, default)
        sides = cast(list[Any], value)
        if len(sides) != 2 or sides[0] != sides[1] or not isinstance(sides[0], int):
            raise CheckpointError(f"{self.where}: {name} is {sides}; expected a square")
        return sides[0]

    def activation(self, default: str) -> Activation:
        """Return the activation that `hidden_act` names."""
        name = self.text("hidden_act", default)
        if name not in ACTIVATIONS:
            raise CheckpointError(
                f"{self.where}: hidden_act {name!r} is not known", hint=nearest(name, ACTIVATIONS)
            )
        return ACTIVATIONS[name]

    def _get(self, name: str, default: Any, kind: type | tuple[type, ...], expected: str) -> Any:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CheckpointError(f"{self.where}: {name} is {value!r}; expected {expected}")
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What transformers takes for a tower whose config leaves it out."""

    width: int
    num_heads: int
    mlp_width: int
    activation: str
    norm_eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One kind of model as Hugging Face keeps it."""

    read: Callable[[Settings], ClipConfig]
    """The architecture that config.json says."""
    links: Callable[[ClipConfig], list[Link]]
    """Names of the tensors."""
    notes: Callable[[ClipConfig], tuple[str, ...]]
    """What the user should know of the way it is read."""


def read_settings(path: Path) -> Settings:
    """Read a JSON file of a Hugging Face folder.

    Raises:
        CheckpointError: if it is not there, too large, or not a JSON object.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        return Settings(str(path), read_json(path))
    except BundleError as error:
        raise CheckpointError(str(error)) from None


def transformer(settings: Settings, defaults: Defaults) -> dict[str, Any]:
    """Return the fields that configs of both towers have."""
    return {
        "width": settings.number("hidden_size", defaults.width),
        "depth": settings.number("num_hidden_layers", 12),
        "num_heads": settings.number("num_attention_heads", defaults.num_heads),
        "mlp_width": settings.number("intermediate_size", defaults.mlp_width),
        "activation": settings.activation(defaults.activation),
        "norm_eps": settings.real("layer_norm_eps", defaults.norm_eps),
    }


def describe_transformer(config: VisionTransformerConfig | TextTransformerConfig) -> dict[str, Any]:
    """Return what `transformer` reads."""
    name = next(name for name, ours in ACTIVATIONS.items() if ours == config.activation)
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_width,
        "hidden_act": name,
        "layer_norm_eps": config.norm_eps,
    }


def pair(ours: str, theirs: str) -> list[Link]:
    """Link weight and bias of a layer."""
    return [Link(f"{ours}.{part}", (f"{theirs}.{part}",)) for part in ("weight", "bias")]


def block_links(ours: str, theirs: str, depth: int) -> list[Link]:
    """Link the blocks of a transformer: `{ours}.blocks.i` and `{theirs}.encoder.layers.i`."""
    links: list[Link] = []
    for i in range(depth):
        mine, layer = f"{ours}.blocks.{i}", f"{theirs}.encoder.layers.{i}"
        for part in ("weight", "bias"):
            names = tuple(f"{layer}.self_attn.{letter}_proj.{part}" for letter in "qkv")
            links.append(Link(f"{mine}.attention.qkv.{part}", names, QKV))
        for name, their_name in BLOCK_PARTS:
            links += pair(f"{mine}.{name}", f"{layer}.{their_name}")
    return links
