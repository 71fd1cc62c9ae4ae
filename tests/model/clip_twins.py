"""Small twins of every vision transformer of the CLIP family, ours and the public libraries'.

A twin keeps what makes its model odd - patch, width of a head, MLP ratio, a size that patches do
not divide, activation, pooling - and is narrow, shallow and small otherwise.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wordsight.model.architecture import (
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

VOCABULARY, START, END = 99, 97, 98
TEXT = TextTransformerConfig(
    vocab_size=VOCABULARY, context_length=12, width=64, depth=3, num_heads=4, mlp_width=256
)
SIGLIP_TEXT = replace(TEXT, norm_eps=1e-6, is_causal=False, pooling="last")
OF_TRANSFORMERS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_tanh": "gelu_pytorch_tanh"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    patch: int
    image: int
    head_width: int = 64
    mlp_ratio: float = 4.0
    heads: int = 2
    depth: int = 3
    activation: Any = "gelu"


CLIP_SHAPES = {
    "ViT-B-32-quickgelu": Shape(patch=32, image=96, activation="quick_gelu"),
    "ViT-B-32": Shape(patch=32, image=96),
    "ViT-B-16": Shape(patch=16, image=64, activation="quick_gelu", depth=1),
    "ViT-L-14": Shape(patch=14, image=56, heads=3, depth=5, activation="quick_gelu"),
    "ViT-L-14-336": Shape(patch=14, image=84, heads=3, activation="quick_gelu"),
    "ViT-H-14": Shape(patch=14, image=42, head_width=80),
    "ViT-g-14": Shape(patch=14, image=42, head_width=88, mlp_ratio=4.3637),
    "ViT-bigG-14": Shape(patch=14, image=42, head_width=104, mlp_ratio=4.9231),
}
SIGLIP_SHAPES = {
    "ViT-B-16-SigLIP": Shape(patch=16, image=64),
    "ViT-L-16-SigLIP": Shape(patch=16, image=48, heads=3, depth=5),
    "ViT-SO400M-14-SigLIP-384": Shape(patch=14, image=62, head_width=72, mlp_ratio=3.7362),
    "ViT-B-16-SigLIP2": Shape(patch=16, image=64, activation="gelu_tanh"),
    "ViT-B-32-SigLIP2": Shape(patch=32, image=64, activation="gelu_tanh", depth=1),
    "ViT-gopt-16-SigLIP2": Shape(patch=16, image=48, head_width=96, activation="gelu_tanh"),
    "ViT-SO400M-16-SigLIP2": Shape(
        patch=16, image=48, head_width=72, mlp_ratio=3.7362, activation="gelu_tanh"
    ),
}


def twin(name: str) -> ClipConfig:
    is_siglip = name in SIGLIP_SHAPES
    shape = SIGLIP_SHAPES[name] if is_siglip else CLIP_SHAPES[name]
    width = shape.heads * shape.head_width
    image = VisionTransformerConfig(
        image_size=shape.image,
        patch_size=shape.patch,
        width=width,
        depth=shape.depth,
        num_heads=shape.heads,
        mlp_width=int(width * shape.mlp_ratio),
        activation=shape.activation,
        norm_eps=1e-6 if is_siglip else 1e-5,
        pooling="attention" if is_siglip else "class_token",
    )
    text = replace(SIGLIP_TEXT if is_siglip else TEXT, activation=shape.activation)
    if is_siglip:
        return ClipConfig(
            image=image, text=text, embed_dim=width, has_text_bias=True, has_logit_bias=True
        )
    return ClipConfig(image=image, text=text, embed_dim=48)


def vision(config: ClipConfig) -> VisionTransformerConfig:
    assert isinstance(config.image, VisionTransformerConfig)
    return config.image


def shuffled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight noise: zeros and ones of a fresh model would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim and "logit" not in name:
                fan = parameter[0].numel() if parameter.ndim > 1 else 100
                scale = min(0.3, fan**-0.5) if "embed" not in name else 0.3
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
            elif "bias" in name:
                parameter.fill_(-3.0)
    return model.eval()


def of_open_clip(config: ClipConfig, *, seed: int = 0) -> Any:
    """open_clip's model of the same shape, with random weights."""
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(seed)
    image, text = vision(config), config.text
    plain = image if not config.is_siglip else replace(image, pooling="class_token")
    vision_cfg = {
        "image_size": plain.image_size,
        "layers": plain.depth if not config.is_siglip else 1,
        "width": plain.width,
        "head_width": plain.width // plain.num_heads,
        "mlp_ratio": (plain.mlp_width + 0.5) / plain.width,
        "patch_size": plain.patch_size,
    }
    text_cfg: dict[str, Any] = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.num_heads,
        "layers": text.depth,
        "mlp_ratio": (text.mlp_width + 0.5) / text.width,
    }
    if not config.is_siglip:
        return shuffled(
            open_clip.CLIP(
                config.embed_dim,
                vision_cfg=vision_cfg,
                text_cfg=text_cfg,
                quick_gelu=image.activation == "quick_gelu",
            ),
            seed,
        )
    text_cfg |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    text_cfg |= {"norm_kwargs": {"eps": 1e-6}}
    if text.activation == "gelu_tanh":
        text_cfg |= {"act_kwargs": {"approximate": "tanh"}}
    model = open_clip.CustomTextCLIP(
        config.embed_dim, vision_cfg=vision_cfg, text_cfg=text_cfg, init_logit_bias=-10
    )
    model.visual = TimmTower(image)
    return shuffled(model, seed)


class TimmTower(nn.Module):
    """What open_clip's TimmModel is for SigLIP: timm's network and nothing behind it."""

    def __init__(self, config: VisionTransformerConfig, *, takes_any_size: bool = False):
        super().__init__()
        timm = pytest.importorskip("timm")
        self.trunk = timm.models.vision_transformer.VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=(config.mlp_width + 0.5) / config.width,
            class_token=False,
            global_pool="map",
            num_classes=0,
            act_layer=config.activation,
            dynamic_img_size=takes_any_size,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x)


def of_transformers(config: ClipConfig, *, end_id: int = END, seed: int = 0) -> Any:
    """The model of transformers of the same shape, with random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    image, text = vision(config), config.text
    vision_config = {
        "hidden_size": image.width,
        "intermediate_size": image.mlp_width,
        "num_hidden_layers": image.depth,
        "num_attention_heads": image.num_heads,
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "hidden_act": OF_TRANSFORMERS[image.activation],
        "layer_norm_eps": image.norm_eps,
    }
    text_config = {
        "hidden_size": text.width,
        "intermediate_size": text.mlp_width,
        "num_hidden_layers": text.depth,
        "num_attention_heads": text.num_heads,
        "max_position_embeddings": text.context_length,
        "vocab_size": text.vocab_size,
        "hidden_act": OF_TRANSFORMERS[text.activation],
        "layer_norm_eps": text.norm_eps,
        "bos_token_id": START,
        "eos_token_id": end_id,
        "pad_token_id": 0,
    }
    if config.is_siglip:
        text_config["projection_size"] = config.embed_dim
        full = transformers.SiglipConfig(text_config=text_config, vision_config=vision_config)
        return shuffled(transformers.SiglipModel(full), seed)
    full = transformers.CLIPConfig(
        text_config=text_config, vision_config=vision_config, projection_dim=config.embed_dim
    )
    return shuffled(transformers.CLIPModel(full), seed)


def pictures(config: ClipConfig, count: int = 3, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = config.image.image_size
    return torch.randn(count, 3, side, side, generator=generator)


def sentences(config: ClipConfig, count: int = 4, *, seed: int = 2) -> Tensor:
    """Token ids of sentences of different lengths, from the empty one to one that fills all."""
    generator = torch.Generator().manual_seed(seed)
    length = config.text.context_length
    tokens = torch.zeros(count, length, dtype=torch.int64)
    for row in range(count):
        words = round(row * (length - 2) / max(1, count - 1))
        tokens[row, 0], tokens[row, 1 + words] = START, END
        tokens[row, 1 : 1 + words] = torch.randint(1, START, (words,), generator=generator)
    return tokens
