"""How a model of ours is said in open_clip's words: the `model_cfg` of open_clip_config.json."""

import math
from typing import Any

from wordsight.checkpoints.open_clip_architecture import POOLING
from wordsight.checkpoints.open_clip_siglip import NORM_EPS as TRUNK_EPS
from wordsight.checkpoints.open_clip_siglip import timm_name, trunk_activation
from wordsight.checkpoints.openai_shapes import HEAD_WIDTH
from wordsight.model.architecture import (
    SIGLIP_BIAS,
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

NORM_EPS = 1e-5
"""Epsilon of open_clip's norms where the config does not say."""


def model_cfg(config: ClipConfig) -> dict[str, Any]:
    """Return the `model_cfg` that open_clip builds this model from.

    Raises:
        ValueError: saying what open_clip has no words for.
    """
    values: dict[str, Any] = {"embed_dim": config.embed_dim}
    if config.has_logit_bias:
        values["init_logit_bias"] = SIGLIP_BIAS
    if config.is_siglip:
        values["custom_text"] = True
    if _is_quick(config):
        values["quick_gelu"] = True
    values["vision_cfg"] = _vision_cfg(config.image)
    values["text_cfg"] = _text_cfg(config.text)
    if config.has_text_bias:
        values["text_cfg"]["proj_bias"] = True
    return values


def losses(config: ClipConfig) -> tuple[str, ...]:
    """Return what open_clip computes otherwise, because it has no word for it."""
    image = config.image
    if not isinstance(image, VisionTransformerConfig) or image.pooling != "attention":
        return ()
    theirs = trunk_activation(image.width, image.patch_size, image.image_size)
    if image.activation == theirs:
        return ()
    return (
        f"open_clip computes {theirs} in the picture tower, where this model has "
        f"{image.activation}: the vectors of pictures will differ in the fourth digit",
    )


def _is_quick(config: ClipConfig) -> bool:
    """Say whether both towers have QuickGELU: open_clip has one switch for the two."""
    image, text = config.image, config.text
    if not isinstance(image, VisionTransformerConfig) or config.is_siglip:
        return text.activation == "quick_gelu"  # the other tower takes no notice of the switch
    if (image.activation == "quick_gelu") != (text.activation == "quick_gelu"):
        raise ValueError(
            f"open_clip has QuickGELU in both towers or in none, not {image.activation} for "
            f"pictures and {text.activation} for texts"
        )
    return text.activation == "quick_gelu"


def _vision_cfg(image: ImageConfig) -> dict[str, Any]:
    if isinstance(image, ModifiedResNetConfig):
        heads = _head_width(32 * image.width, image.num_heads)
        stages = {"layers": list(image.depths), "width": image.width, "patch_size": None}
        return {"image_size": image.image_size, **stages, **heads}
    if image.pooling == "attention":
        return _siglip_cfg(image)
    return {
        "image_size": image.image_size,
        "layers": image.depth,
        "width": image.width,
        "patch_size": image.patch_size,
        **_head_width(image.width, image.num_heads),
        **_block(image),
    }


def _siglip_cfg(image: VisionTransformerConfig) -> dict[str, Any]:
    name = timm_name(image)
    if not name:
        raise ValueError(
            f"timm has no SigLIP tower of {image.depth} blocks of width {image.width} at "
            f"{image.image_size} px in patches of {image.patch_size}, and open_clip takes it "
            "from there"
        )
    if image.activation == "quick_gelu" or image.norm_eps != TRUNK_EPS:
        raise ValueError(
            f"timm has no SigLIP tower with {image.activation} and norms with epsilon "
            f"{image.norm_eps}"
        )
    return {
        "image_size": image.image_size,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }


def _text_cfg(text: TextTransformerConfig) -> dict[str, Any]:
    values: dict[str, Any] = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.num_heads,
        "layers": text.depth,
        **_block(text),
    }
    if not text.is_causal:
        values["no_causal_mask"] = True
    if text.pooling != "argmax":
        values["pool_type"] = next(name for name, ours in POOLING.items() if ours == text.pooling)
    if text.end_id is not None:
        values["eos_id"] = text.end_id
    return values


def _block(tower: VisionTransformerConfig | TextTransformerConfig) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if tower.mlp_width != 4 * tower.width:
        values["mlp_ratio"] = _ratio(tower.mlp_width, tower.width)
    if tower.activation == "gelu_tanh":
        values["act_kwargs"] = {"approximate": "tanh"}
    if tower.norm_eps != NORM_EPS:
        values["norm_kwargs"] = {"eps": tower.norm_eps}
    return values


def _ratio(mlp_width: int, width: int) -> float:
    """Return a short factor that gives the width; open_clip cuts the fraction off."""
    for digits in range(16):
        ratio = math.ceil(mlp_width / width * 10**digits) / 10**digits
        if int(width * ratio) == mlp_width:
            return ratio
    raise ValueError(f"open_clip cannot make an inner width of {mlp_width} from {width}")


def _head_width(width: int, num_heads: int) -> dict[str, int]:
    return {} if width == HEAD_WIDTH * num_heads else {"head_width": width // num_heads}
