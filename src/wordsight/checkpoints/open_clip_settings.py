"""The keys that open_clip_config.json may have, with their types: those of open_clip 3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wordsight.checkpoints.openai_shapes import HEAD_WIDTH
from wordsight.config import from_dict
from wordsight.errors import CheckpointError, ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSettings:
    """What both towers may say of their blocks."""

    mlp_ratio: float = 4.0
    act_kwargs: dict[str, Any] | None = None
    norm_kwargs: dict[str, Any] | None = None
    output_tokens: bool = False
    final_ln_after_pool: bool = False
    ls_init_value: float | None = None
    block_type: str | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionSettings(BlockSettings):
    """`vision_cfg`."""

    image_size: int | tuple[int, int] = 224
    layers: int | tuple[int, int, int, int] = 12
    width: int = 768
    head_width: int = HEAD_WIDTH
    patch_size: int | tuple[int, int] | None = 16
    pool_type: str = "tok"
    pos_embed_type: str = "learnable"
    no_ln_pre: bool = False
    attentional_pool: bool | str = False
    attn_pooler_queries: int = 256
    attn_pooler_heads: int = 8
    patch_dropout: float = 0.0
    timm_model_name: str | None = None
    timm_model_pretrained: bool = False
    timm_pool: str = "avg"
    timm_proj: str | None = "linear"
    timm_proj_bias: bool = False
    timm_drop: float = 0.0
    timm_drop_path: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSettings(BlockSettings):
    """`text_cfg`."""

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    pool_type: str = "argmax"
    eos_id: int = 2
    pad_id: int = 0
    no_causal_mask: bool = False
    embed_cls: bool = False
    proj_bias: bool = False
    proj_type: str = "linear"
    hf_model_name: str | None = None
    hf_model_pretrained: bool = True
    hf_proj_type: str | None = "mlp"
    hf_pooler_type: str | None = "mean_pooler"
    hf_tokenizer_name: str | None = None
    tokenizer_mode: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None

    @property
    def foreign_tokenizer(self) -> str:
        """Name of a tokenizer of another family, or nothing."""
        if not self.hf_tokenizer_name:
            return ""
        cleaning = (self.tokenizer_kwargs or {}).get("clean")
        return "" if cleaning in ("lower", "canonicalize") else self.hf_tokenizer_name


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """`model_cfg`."""

    embed_dim: int
    vision_cfg: VisionSettings
    text_cfg: TextSettings
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: float | None = None
    init_logit_bias: float | None = None
    nonscalar_logit_scale: bool = False
    output_dict: bool = False
    multimodal_cfg: dict[str, Any] | None = None


def read_model_cfg(values: Mapping[str, Any], *, where: str) -> ModelSettings:
    """Return `model_cfg` with its types checked.

    Raises:
        CheckpointError: naming the key that is unknown, missing, or of the wrong type.
    """
    try:
        return from_dict(ModelSettings, values, where=where)
    except ConfigError as error:
        raise CheckpointError(str(error), hint=error.hint) from None
