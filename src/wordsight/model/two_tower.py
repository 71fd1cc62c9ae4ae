"""Two towers with their heads as torch modules, and the file that holds their weights.

model.safetensors has four groups of keys: `image.tower.`, `image.head.`, `text.tower.` and
`text.head.`; `architecture` in config.json says what to build:

    {"image": {"kind": "efficientnet-lite", "image_size": 224, ...},
     "text": {"kind": "bert", "width": 384, ...}}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from wordsight.config import from_dict, nearest, to_dict
from wordsight.errors import BundleError, ConfigError
from wordsight.model.bert import BertConfig, BertSentenceEncoder
from wordsight.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.outputs import EMBEDDING, FEATURES, LOGITS
from wordsight.packages import require

KINDS: Mapping[str, tuple[type[Any], type[nn.Module]]] = {
    "efficientnet-lite": (EfficientNetLiteConfig, EfficientNetLite),
    "bert": (BertConfig, BertSentenceEncoder),
}


def describe(tower: nn.Module) -> dict[str, Any]:
    """Return what config.json says of a tower; empty for one that cannot be rebuilt from there."""
    for kind, (_, module) in KINDS.items():
        if isinstance(tower, module):
            return {"kind": kind, **to_dict(tower.config)}
    return {}


def build(description: object, *, where: str) -> nn.Module:
    """Build a tower from what `describe` returned.

    Raises:
        ConfigError: if the kind or a setting is unknown.
    """
    if not isinstance(description, Mapping):
        raise ConfigError(f"{where}: expected a table, got {description!r}")
    settings: dict[str, Any] = dict(cast(Mapping[str, Any], description))
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise ConfigError(f"{where}: unknown tower {kind!r}", hint=nearest(str(kind), KINDS))
    config, module = KINDS[kind]
    return module(from_dict(config, settings, where=where))


class ImageTower(nn.Module):
    """An image tower and its head: pixels to named tensors."""

    outputs = (EMBEDDING, FEATURES, LOGITS)

    def __init__(self, tower: nn.Module, head: ImageHead):
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to unit vectors, features and class scores."""
        features, logits = self.tower(pixels)
        return {EMBEDDING: self.head(features, logits), FEATURES: features, LOGITS: logits}


class TextTower(nn.Module):
    """A text tower and its head: token ids to named tensors."""

    outputs = (EMBEDDING, FEATURES)

    def __init__(self, tower: nn.Module, head: TextHead):
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Map token ids (B, L) to unit vectors and features."""
        features = self.tower(tokens)
        return {EMBEDDING: self.head(features), FEATURES: features}


def save_towers(image: ImageTower, text: TextTower) -> bytes:
    """Return the content of model.safetensors."""
    safetensors = require("safetensors.torch", extra="torch")
    weights: dict[str, Tensor] = {}
    for side, tower in (("image", image), ("text", text)):
        for name, value in tower.state_dict().items():
            weights[f"{side}.{name}"] = value.contiguous()
    return safetensors.save(weights)


def load_towers(path: Path, architecture: Mapping[str, Any]) -> tuple[ImageTower, TextTower]:
    """Rebuild both towers from model.safetensors and what config.json says of them.

    Raises:
        BundleError: if config.json and model.safetensors do not fit; the message names the layer.
    """
    safetensors = require("safetensors.torch", extra="torch")
    unreadable = require("safetensors", extra="torch").SafetensorError
    try:
        weights: dict[str, Tensor] = safetensors.load_file(str(path))
    except unreadable as error:
        raise BundleError(f"{path}: {error}") from None
    try:
        with torch.device("meta"):  # nothing is allocated before the shapes are known to fit
            image = build(architecture.get("image", {}), where="architecture.image")
            text = build(architecture.get("text", {}), where="architecture.text")
            image_head, text_head = _empty_heads(weights)
    except (ConfigError, KeyError, ValueError, IndexError, RuntimeError) as error:
        raise BundleError(f"{path}: cannot be built: {error}") from None
    towers = ImageTower(image, image_head), TextTower(text, text_head)
    for side, tower in zip(("image", "text"), towers, strict=True):
        mine = [name for name in weights if name.startswith(f"{side}.")]
        own = {name.removeprefix(f"{side}."): weights.pop(name) for name in mine}
        _fit(tower, own, where=f"{path}: {side}")
        tower.eval()
    for name in weights:
        raise BundleError(f"{path}: layer {name!r} is not part of the architecture")
    return towers


def _empty_heads(weights: Mapping[str, Tensor]) -> tuple[ImageHead, TextHead]:
    embed_dim, num_features = weights["image.head.linear.weight"].shape
    classes = weights.get("image.head.classes.weight")
    image = ImageHead(num_features, classes.shape[1] if classes is not None else 0, embed_dim)
    embed_dim, num_features = weights["text.head.linear.weight"].shape
    return image, TextHead(num_features, embed_dim)


def _fit(module: nn.Module, weights: dict[str, Tensor], *, where: str) -> None:
    expected = module.state_dict()
    for name in expected:
        if name not in weights:
            raise BundleError(f"{where}: layer {name!r} is missing")
        if weights[name].shape != expected[name].shape:
            shapes = f"{tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
            raise BundleError(f"{where}: layer {name!r} has shape {shapes}")
    for name in weights:
        if name not in expected:
            raise BundleError(f"{where}: layer {name!r} is not part of the architecture")
    fitting = {name: value.to(expected[name].dtype) for name, value in weights.items()}
    module.load_state_dict(fitting, assign=True)
