"""SiglipModel of transformers, which SigLIP 2 shares, and the fixed grid of Siglip2Model (NaFlex).

Shape letters: D width, P pixels of a patch's side.
"""

import math
from typing import Any

from wordsight.checkpoints.hugging_face_clip import text_links
from wordsight.checkpoints.hugging_face_config import (
    Defaults,
    Dialect,
    Settings,
    block_links,
    describe_transformer,
    pair,
    transformer,
)
from wordsight.checkpoints.links import SAME, Layout, Link, reshaped
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

DEFAULTS = Defaults(
    width=768, num_heads=12, mlp_width=3072, activation="gelu_pytorch_tanh", norm_eps=1e-6
)


def read_siglip(settings: Settings) -> ClipConfig:
    """Return the architecture that config.json of a SiglipModel says.

    Raises:
        CheckpointError: if a value is of the wrong type, or not one that we can express.
        ValueError: if the values do not fit each other.
    """
    image = settings.table("vision_config")
    return _config(settings, image, image_size=image.side("image_size", 224))


def read_naflex(settings: Settings) -> ClipConfig:
    """Return the architecture of a Siglip2Model on the square grid it learnt its positions on.

    Raises:
        CheckpointError: as `read_siglip`, and if there is no such grid.
        ValueError: if the values do not fit each other.
    """
    image = settings.table("vision_config")
    num_patches = image.number("num_patches", 256)
    grid = math.isqrt(max(num_patches, 0))
    if grid**2 != num_patches or not grid:
        raise CheckpointError(f"{image.where}: num_patches is {num_patches}; expected a square")
    return _config(settings, image, image_size=grid * image.side("patch_size", 16))


def _config(settings: Settings, image: Settings, *, image_size: int) -> ClipConfig:
    text = settings.table("text_config")
    if image.number("num_channels", 3) != 3:
        raise CheckpointError(
            f"{image.where}: num_channels is {image.values['num_channels']}; expected 3"
        )
    if image.values.get("vision_use_head") is False:
        raise CheckpointError(f"{image.where}: a SigLIP without vision head has no embedding")
    text_width = text.number("hidden_size", DEFAULTS.width)
    return ClipConfig(
        embed_dim=text.number("projection_size", text_width),
        has_text_bias=True,
        has_logit_bias=True,
        text=TextTransformerConfig(
            vocab_size=text.number("vocab_size", 32000),
            context_length=text.number("max_position_embeddings", 64),
            is_causal=False,
            pooling="last",
            **transformer(text, DEFAULTS),
        ),
        image=VisionTransformerConfig(
            image_size=image_size,
            patch_size=image.side("patch_size", 16),
            pooling="attention",
            **transformer(image, DEFAULTS),
        ),
    )


def describe_siglip(config: ClipConfig) -> dict[str, Any]:
    """Return config.json of a SiglipModel.

    Raises:
        ValueError: if transformers has no such model.
    """
    image, text = config.image, config.text
    assert isinstance(image, VisionTransformerConfig)
    if text.is_causal or text.pooling != "last":
        raise ValueError("SiglipModel has no causal text tower and pools at the last token")
    if not (config.has_text_bias and config.has_logit_bias):
        raise ValueError("SiglipModel has a bias in its text projection and in its similarity")
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": {
            "model_type": "siglip_text_model",
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "projection_size": config.embed_dim,
            **describe_transformer(text),
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            **describe_transformer(image),
        },
    }


def siglip_links(config: ClipConfig) -> list[Link]:
    """Return the names of a SiglipModel's tensors."""
    return _links(config, SAME)


def naflex_links(config: ClipConfig) -> list[Link]:
    """Return the names of a Siglip2Model's tensors, whose patches are rows of numbers."""
    image = config.image
    assert isinstance(image, VisionTransformerConfig)
    return _links(config, _rows(image.patch_size))


def _links(config: ClipConfig, patches: Layout) -> list[Link]:
    image, text = config.image, config.text
    assert isinstance(image, VisionTransformerConfig)
    theirs, head = "vision_model.embeddings", "vision_model.head"
    return [
        Link("image.tower.patch_embedding.weight", (f"{theirs}.patch_embedding.weight",), patches),
        Link("image.tower.patch_embedding.bias", (f"{theirs}.patch_embedding.bias",)),
        Link("image.tower.position_embedding", (f"{theirs}.position_embedding.weight",)),
        *block_links("image.tower", "vision_model", image.depth),
        *pair("image.tower.norm", "vision_model.post_layernorm"),
        Link("image.tower.pool.probe", (f"{head}.probe",)),
        Link("image.tower.pool.attention.qkv.weight", (f"{head}.attention.in_proj_weight",)),
        Link("image.tower.pool.attention.qkv.bias", (f"{head}.attention.in_proj_bias",)),
        *pair("image.tower.pool.attention.out", f"{head}.attention.out_proj"),
        *pair("image.tower.pool.norm", f"{head}.layernorm"),
        *pair("image.tower.pool.mlp.expand", f"{head}.mlp.fc1"),
        *pair("image.tower.pool.mlp.project", f"{head}.mlp.fc2"),
        *text_links(text.depth),
        *pair("text.head.linear", "text_model.head"),
        Link("logit_scale", ("logit_scale",), reshaped((), (1,))),
        Link("logit_bias", ("logit_bias",), reshaped((), (1,))),
    ]


def _rows(patch: int) -> Layout:
    """Read (D, P * P * 3), pixel by pixel with its colours together, as a convolution's weights."""
    return Layout(
        lambda parts: parts[0].reshape(-1, patch, patch, 3).permute(0, 3, 1, 2).contiguous(),
        lambda tensor: (tensor.permute(0, 2, 3, 1).flatten(1).contiguous(),),
    )


def _notes(config: ClipConfig) -> tuple[str, ...]:
    return ()


def _naflex_notes(config: ClipConfig) -> tuple[str, ...]:
    image = config.image
    assert isinstance(image, VisionTransformerConfig)
    return (
        f"NaFlex is read on its grid of {image.grid} x {image.grid} patches: square pictures give "
        "the same as at home; others are squashed, where transformers keeps their sides",
    )


SIGLIP = Dialect(read=read_siglip, links=siglip_links, notes=_notes)
NAFLEX = Dialect(read=read_naflex, links=naflex_links, notes=_naflex_notes)
