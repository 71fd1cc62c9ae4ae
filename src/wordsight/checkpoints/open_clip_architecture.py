"""What open_clip_config.json says of a model, read strictly.

A value that would build something other than our towers is an error, never ignored; keys that
matter in training alone may have any value.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Never

from wordsight.checkpoints.open_clip_settings import BlockSettings, ModelSettings
from wordsight.checkpoints.open_clip_siglip import infer_trunk, is_siglip_name
from wordsight.checkpoints.openai_shapes import Shapes
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    Activation,
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

POOLING: Mapping[str, Literal["argmax", "end", "last"]] = {
    "argmax": "argmax",
    "eos": "end",
    "last": "last",
}


_CUSTOM_BLOCK = (
    "qk_norm",
    "scaled_cosine_attn",
    "scale_heads",
    "scale_attn_inner",
    "scale_attn",
    "scale_fc",
)
_PLAIN_BLOCK = {
    "ls_init_value": (None,),
    "block_type": (None, "default"),
    **dict.fromkeys(_CUSTOM_BLOCK, (False,)),
}
_PLAIN_VISION = {"pool_type": ("tok",), "no_ln_pre": (False,), "attentional_pool": (False,)}
_SIGLIP_VISION = {"timm_pool": ("map",), "timm_proj": ("none",)}
_PLAIN_TEXT = {
    "hf_model_name": (None, ""),
    "tokenizer_mode": (None, ""),
    "embed_cls": (False,),
    "proj_type": ("linear",),
    "pool_type": tuple(POOLING),
}


def architecture(settings: ModelSettings, shapes: Shapes, *, where: str) -> ClipConfig:
    """Return the model that open_clip would build.

    Args:
        settings: of `read_model_cfg`.
        shapes: those of the weights; a picture tower of timm is known by name alone.
        where: file, for messages.

    Raises:
        CheckpointError: naming a key whose value is not supported, and what is.
    """
    if settings.multimodal_cfg is not None:
        raise CheckpointError(
            f"{where}: multimodal_cfg is not supported: it is a CoCa, which also writes captions",
            hint="only models of two towers can be read",
        )
    try:
        return ClipConfig(
            image=_image(settings, shapes, where=f"{where}: vision_cfg"),
            text=_text(settings, where=f"{where}: text_cfg"),
            embed_dim=settings.embed_dim,
            has_text_bias=settings.text_cfg.proj_bias,
            has_logit_bias=settings.init_logit_bias is not None or "logit_bias" in shapes.tensors,
        )
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{where}: {error}") from None


def _image(settings: ModelSettings, shapes: Shapes, *, where: str) -> ImageConfig:
    vision = settings.vision_cfg
    size = _side(vision.image_size, where=f"{where}.image_size")
    if vision.timm_model_name:
        if not is_siglip_name(vision.timm_model_name):
            raise CheckpointError(
                f"{where}.timm_model_name = {vision.timm_model_name!r} is not supported: expected "
                "one of SigLIP's, such as 'vit_base_patch16_siglip_224'"
            )
        _check(vision, _SIGLIP_VISION, where=where)
        return infer_trunk(shapes, size)
    _check(vision, _PLAIN_VISION | _PLAIN_BLOCK, where=where)
    if isinstance(vision.layers, tuple):
        return ModifiedResNetConfig(
            image_size=size,
            depths=vision.layers,
            width=vision.width,
            num_heads=32 * vision.width // max(1, vision.head_width),
            output_width=settings.embed_dim,
        )
    return VisionTransformerConfig(
        image_size=size,
        patch_size=_side(vision.patch_size, where=f"{where}.patch_size"),
        width=vision.width,
        depth=vision.layers,
        num_heads=vision.width // max(1, vision.head_width),
        mlp_width=int(vision.width * vision.mlp_ratio),
        activation=_activation(vision, settings.quick_gelu, where=where),
        norm_eps=_eps(vision, where=where),
    )


def _text(settings: ModelSettings, *, where: str) -> TextTransformerConfig:
    text = settings.text_cfg
    _check(text, _PLAIN_TEXT | _PLAIN_BLOCK, where=where)
    return TextTransformerConfig(
        vocab_size=text.vocab_size,
        context_length=text.context_length,
        width=text.width,
        depth=text.layers,
        num_heads=text.heads,
        mlp_width=int(text.width * text.mlp_ratio),
        activation=_activation(text, settings.quick_gelu, where=where),
        norm_eps=_eps(text, where=where),
        is_causal=not text.no_causal_mask,
        pooling=POOLING[text.pool_type],
        end_id=text.eos_id if text.pool_type == "eos" else None,
    )


def _activation(tower: BlockSettings, quick_gelu: bool, *, where: str) -> Activation:
    options = tower.act_kwargs or {}
    approximate = options.get("approximate", "none")
    if options.keys() - {"approximate"} or approximate not in ("none", "tanh"):
        _refuse("act_kwargs", options, 'null or {"approximate": "tanh"}', where=where)
    if quick_gelu:
        if options:
            _refuse("act_kwargs", options, "null beside quick_gelu", where=where)
        return "quick_gelu"
    return "gelu_tanh" if approximate == "tanh" else "gelu"


def _eps(tower: BlockSettings, *, where: str) -> float:
    options = tower.norm_kwargs or {}
    eps = options.get("eps", 1e-5)
    if options.keys() - {"eps"} or not isinstance(eps, float) or not 0 < eps < 1:
        _refuse("norm_kwargs", options, 'null or {"eps": a number above 0}', where=where)
    return eps


def _side(value: int | tuple[int, int] | None, *, where: str) -> int:
    if isinstance(value, int):
        return value
    if value is None or value[0] != value[1]:
        raise CheckpointError(f"{where} = {_json(value)} is not supported: expected a square")
    return value[0]


def _check(tower: BlockSettings, allowed: Mapping[str, tuple[Any, ...]], *, where: str) -> None:
    for name, values in allowed.items():
        value = getattr(tower, name)
        if value not in values:
            _refuse(name, value, " or ".join(map(_json, values)), where=where)


def _refuse(name: str, value: object, expected: str, *, where: str) -> Never:
    raise CheckpointError(
        f"{where}.{name} = {_json(value)} is not supported: expected {expected}",
        hint="open_clip builds other towers for it than wordsight has",
    )


def _json(value: object) -> str:
    return json.dumps(value)
