"""Two towers with their heads as torch modules, and the file that holds their weights.

model.safetensors has four groups of keys: `image.tower.`, `image.head.`, `text.tower.` and
`text.head.`; `architecture` in config.json says what to build:

    {"image": {"kind": "efficientnet-lite", "image_size": 224, ...},
     "text": {"kind": "bert", "width": 384, ...}}

Heads are told by their keys. `logit_scale` and `logit_bias` may stand beside the groups: they go
along when the bundle is converted, while the similarity in use stands in config.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from wordsight.config import from_dict, nearest, to_dict
from wordsight.errors import BundleError, ConfigError
from wordsight.model.architecture import (
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.bert import BertConfig, BertSentenceEncoder
from wordsight.model.clip import ProjectedTower, Projection
from wordsight.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.outputs import EMBEDDING, FEATURES, LOGITS
from wordsight.model.resnet import ModifiedResNet
from wordsight.model.text_transformer import TextTransformer
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.model.weights import fit_weights
from wordsight.packages import require

KINDS: Mapping[str, tuple[type[Any], type[nn.Module]]] = {
    "efficientnet-lite": (EfficientNetLiteConfig, EfficientNetLite),
    "bert": (BertConfig, BertSentenceEncoder),
    "vision-transformer": (VisionTransformerConfig, VisionTransformer),
    "modified-resnet": (ModifiedResNetConfig, ModifiedResNet),
    "text-transformer": (TextTransformerConfig, TextTransformer),
}
CONVERSION_ONLY = ("logit_scale", "logit_bias")


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
    """An image tower with a classifier, and its head: pixels to named tensors."""

    outputs = (EMBEDDING, FEATURES, LOGITS)

    def __init__(self, tower: nn.Module, head: ImageHead):
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to unit vectors, features and class scores."""
        features, logits = self.tower(pixels)
        return {EMBEDDING: self.head(features, logits), FEATURES: features, LOGITS: logits}


TextTower = ProjectedTower
"""A text tower and its head, which may be a `TextHead`: token ids to named tensors."""


def save_towers(image: ImageTower | ProjectedTower, text: ProjectedTower) -> bytes:
    """Return the content of model.safetensors."""
    safetensors = require("safetensors.torch", extra="torch")
    weights: dict[str, Tensor] = {}
    for side, tower in (("image", image), ("text", text)):
        for name, value in tower.state_dict().items():
            weights[f"{side}.{name}"] = value.contiguous()
    return safetensors.save(weights)


def load_towers(
    path: Path, architecture: Mapping[str, Any]
) -> tuple[ImageTower | ProjectedTower, ProjectedTower]:
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
            towers = _empty_towers(architecture, weights)
    except (ConfigError, KeyError, ValueError, IndexError, RuntimeError) as error:
        raise BundleError(f"{path}: cannot be built: {error}") from None
    for name in CONVERSION_ONLY:
        weights.pop(name, None)
    for side, tower in zip(("image", "text"), towers, strict=True):
        mine = [name for name in weights if name.startswith(f"{side}.")]
        own = {name.removeprefix(f"{side}."): weights.pop(name) for name in mine}
        fit_weights(tower, own, where=f"{path}: {side}")
        tower.eval()
    for name in weights:
        raise BundleError(f"{path}: layer {name!r} is not part of the architecture")
    return towers


def _empty_towers(
    architecture: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[ImageTower | ProjectedTower, ProjectedTower]:
    image = build(architecture.get("image", {}), where="architecture.image")
    text = build(architecture.get("text", {}), where="architecture.text")
    text_tower = ProjectedTower(text, _empty_head("text", weights))
    if isinstance(image, EfficientNetLite):
        embed_dim, num_features = weights["image.head.linear.weight"].shape
        classes = weights.get("image.head.classes.weight")
        num_classes = 0 if classes is None else classes.shape[1]
        return ImageTower(image, ImageHead(num_features, num_classes, embed_dim)), text_tower
    return ProjectedTower(image, _empty_head("image", weights)), text_tower


def _empty_head(side: str, weights: Mapping[str, Tensor]) -> nn.Module | None:
    if f"{side}.head.linear.weight" not in weights:
        return None
    embed_dim, num_features = weights[f"{side}.head.linear.weight"].shape
    if f"{side}.head.mean" in weights:  # learnt by `align` on a frozen tower
        is_image = side == "image"
        return (
            ImageHead(num_features, 0, embed_dim) if is_image else TextHead(num_features, embed_dim)
        )
    return Projection(num_features, embed_dim, has_bias=f"{side}.head.linear.bias" in weights)
