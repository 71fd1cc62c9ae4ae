"""CLIPModel of transformers: its config.json and its names of tensors."""

from typing import Any

from wordsight.checkpoints.hugging_face_config import (
    Defaults,
    Dialect,
    Settings,
    block_links,
    describe_transformer,
    pair,
    transformer,
)
from wordsight.checkpoints.links import Link, reshaped
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    CLIP_LOG_SCALE,
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

TEXT = Defaults(width=512, num_heads=8, mlp_width=2048, activation="quick_gelu", norm_eps=1e-5)
IMAGE = Defaults(width=768, num_heads=12, mlp_width=3072, activation="quick_gelu", norm_eps=1e-5)
ARGMAX_ID = 2
"""An `eos_token_id` that stands for pooling at the largest id.

transformers wrote it by mistake until version 4.31 and has honoured it ever since.
"""


def read_clip(settings: Settings) -> ClipConfig:
    """Return the architecture that config.json says.

    Raises:
        CheckpointError: if a value is of the wrong type, or not one that we can express.
        ValueError: if the values do not fit each other.
    """
    text, image = _tower(settings, "text_config"), _tower(settings, "vision_config")
    if image.number("num_channels", 3) != 3:
        raise CheckpointError(
            f"{image.where}: num_channels is {image.values['num_channels']}; expected 3"
        )
    end_id = text.number("eos_token_id", 49407)
    return ClipConfig(
        embed_dim=settings.number("projection_dim", 512),
        text=TextTransformerConfig(
            vocab_size=text.number("vocab_size", 49408),
            context_length=text.number("max_position_embeddings", 77),
            pooling="argmax" if end_id == ARGMAX_ID else "end",
            end_id=None if end_id == ARGMAX_ID else end_id,
            **transformer(text, TEXT),
        ),
        image=VisionTransformerConfig(
            image_size=image.side("image_size", 224),
            patch_size=image.side("patch_size", 32),
            **transformer(image, IMAGE),
        ),
    )


def describe_clip(config: ClipConfig) -> dict[str, Any]:
    """Return config.json of a model.

    Raises:
        ValueError: if transformers has no such model.
    """
    image, text = config.image, config.text
    if not isinstance(image, VisionTransformerConfig):
        raise ValueError("transformers has no CLIP with a ResNet")
    if config.has_logit_bias or config.has_text_bias or not text.is_causal:
        raise ValueError("transformers has no CLIP with a bias, or with text that is not causal")
    if text.pooling == "last" or text.end_id == ARGMAX_ID:
        raise ValueError(
            f"CLIPModel does not pool texts at {text.pooling!r} with end_id {text.end_id}"
        )
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": config.embed_dim,
        "logit_scale_init_value": CLIP_LOG_SCALE,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "projection_dim": config.embed_dim,
            "eos_token_id": ARGMAX_ID if text.end_id is None else text.end_id,
            **describe_transformer(text),
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "projection_dim": config.embed_dim,
            **describe_transformer(image),
        },
    }


def clip_links(config: ClipConfig) -> list[Link]:
    """Return the names of the tensors; `pre_layrnorm` is spelt as transformers spells it."""
    image, text = config.image, config.text
    assert isinstance(image, VisionTransformerConfig)
    theirs = "vision_model.embeddings"
    return [
        Link("image.tower.patch_embedding.weight", (f"{theirs}.patch_embedding.weight",)),
        Link("image.tower.class_embedding", (f"{theirs}.class_embedding",)),
        Link("image.tower.position_embedding", (f"{theirs}.position_embedding.weight",)),
        *pair("image.tower.pre_norm", "vision_model.pre_layrnorm"),
        *block_links("image.tower", "vision_model", image.depth),
        *pair("image.tower.norm", "vision_model.post_layernorm"),
        Link("image.head.linear.weight", ("visual_projection.weight",)),
        *text_links(text.depth),
        Link("text.head.linear.weight", ("text_projection.weight",)),
        Link("logit_scale", ("logit_scale",), reshaped((), ())),
    ]


def text_links(depth: int) -> list[Link]:
    """Return the names of a text tower's tensors, without its projection; SigLIP's are the same."""
    theirs = "text_model.embeddings"
    return [
        Link("text.tower.token_embedding.weight", (f"{theirs}.token_embedding.weight",)),
        Link("text.tower.position_embedding", (f"{theirs}.position_embedding.weight",)),
        *block_links("text.tower", "text_model", depth),
        *pair("text.tower.norm", "text_model.final_layer_norm"),
    ]


def notes(config: ClipConfig) -> tuple[str, ...]:
    """Say where a sentence is read."""
    if config.text.pooling == "argmax":
        return (f"texts are pooled at the largest id: eos_token_id is {ARGMAX_ID}",)
    return (f"texts are pooled at the first token {config.text.end_id} (eos_token_id)",)


def _tower(settings: Settings, name: str) -> Settings:
    """Return a tower's settings; a table `..._dict`, its defaults included, goes before the other.

    transformers does the same, to honour files from before version 4.22.
    """
    older = f"{name}_dict"
    return settings.table(older if settings.has(older) else name)


CLIP = Dialect(read=read_clip, links=clip_links, notes=notes)
