"""What the models of the CLIP family look like, as data; no torch is needed to talk about them.

Every number that a checkpoint's tensors must agree with stands here. A width is a number of
channels, a depth a number of blocks. Table numbers are those of Radford et al., 2021.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wordsight.config import from_dict, nearest, to_dict
from wordsight.errors import ConfigError

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
"""Exact GELU, `x * sigmoid(1.702 x)` of OpenAI's models, or the tanh approximation of SigLIP."""

ACTIVATIONS: tuple[Activation, ...] = ("gelu", "quick_gelu", "gelu_tanh")
CLIP_LOG_SCALE = 2.659260036932778
"""Logarithm of 1 / 0.07, where the paper starts the scale."""
SIGLIP_LOG_SCALE = 2.302585092994046
"""Logarithm of 10, where SigLIP starts the scale (Zhai et al., 2023)."""
SIGLIP_BIAS = -10.0
MAX_DEPTH = 256
RESNET_REDUCTION = 32
"""Pixels of the picture behind one cell of a ResNet's last feature map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionTransformerConfig:
    """A vision transformer; the defaults are CLIP's ViT-B/32."""

    image_size: int = 224
    """Side of the square picture, in pixels."""
    patch_size: int = 32
    """Side of a patch, in pixels."""
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_width: int = 3072
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5
    pooling: Literal["class_token", "attention"] = "class_token"
    """CLIP reads a class token and normalises before the first block; SigLIP has neither, and pools
    by attention from one learnt query. CLIP's patches are embedded without a bias."""
    head_width: int | None = None
    """Channels of a head; all heads together are as wide as the tower if it is not given. Pruned
    towers (`wordsight compress`) have fewer heads than that."""

    def __post_init__(self) -> None:
        _check_positive(self, "image_size", "patch_size", "width", "num_heads", "mlp_width")
        if self.head_width is not None:
            _check_positive(self, "head_width")
        num_heads = self.num_heads if self.head_width is None else 1
        _check_blocks(self.depth, self.width, num_heads, self.activation)
        if self.image_size < self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is smaller than a patch of {self.patch_size}"
            )
        if self.pooling not in ("class_token", "attention"):
            raise ValueError(f"pooling must be class_token or attention, got {self.pooling!r}")

    @property
    def grid(self) -> int:
        """Patches along a side; pixels that do not fill a patch are not looked at (so400m/14)."""
        return self.image_size // self.patch_size

    @property
    def num_positions(self) -> int:
        """Rows of the position embedding: the patches, and the class token if there is one."""
        return self.grid**2 + (self.pooling == "class_token")

    @property
    def attention_width(self) -> int:
        """Channels of all heads of a layer together."""
        return self.width if self.head_width is None else self.num_heads * self.head_width


@dataclass(frozen=True, kw_only=True, slots=True)
class ModifiedResNetConfig:
    """The paper's ResNet (section 2.4): three-convolution stem, blur pools, attention pooling.

    The defaults are RN50.
    """

    image_size: int = 224
    """Side of the square picture, in pixels."""
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    """Blocks of each stage."""
    width: int = 64
    """Channels after the stem; the last feature map has 32 times as many."""
    num_heads: int = 32
    """Heads of the attention pooling."""
    output_width: int = 1024
    """Width of what the attention pooling returns; it is the joint space."""

    def __post_init__(self) -> None:
        _check_positive(self, "image_size", "width", "num_heads", "output_width")
        if len(self.depths) != 4 or not all(1 <= depth <= MAX_DEPTH for depth in self.depths):
            raise ValueError(f"depths must be four numbers from 1 to {MAX_DEPTH}: {self.depths}")
        if self.width % 2:
            raise ValueError(f"width must be even, got {self.width}")
        if self.feature_width % self.num_heads:
            raise ValueError(
                f"{self.feature_width} channels do not divide into {self.num_heads} heads"
            )
        if self.image_size < RESNET_REDUCTION:
            raise ValueError(f"image_size must be {RESNET_REDUCTION} or more: {self.image_size}")

    @property
    def feature_width(self) -> int:
        """Channels of the last feature map."""
        return 32 * self.width

    @property
    def grid(self) -> int:
        """Cells along a side of the last feature map."""
        return self.image_size // RESNET_REDUCTION

    @property
    def num_positions(self) -> int:
        """Rows of the position embedding: the mean token and the cells."""
        return self.grid**2 + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTransformerConfig:
    """The text transformer; the defaults are the 63 million parameters of section 2.4."""

    vocab_size: int = 49408
    context_length: int = 77
    width: int = 512
    depth: int = 12
    num_heads: int = 8
    mlp_width: int = 2048
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5
    is_causal: bool = True
    """Whether a token sees only those before it; SigLIP's sees all, padding too."""
    pooling: Literal["argmax", "end", "last"] = "argmax"
    """The sentence is what stands at the largest id, at the first `end_id`, or at the last place.
    OpenAI's end token has the largest id."""
    end_id: int | None = None
    """Id of the end token, for pooling at the end."""

    def __post_init__(self) -> None:
        _check_positive(self, "vocab_size", "context_length", "width", "num_heads", "mlp_width")
        _check_blocks(self.depth, self.width, self.num_heads, self.activation)
        if self.pooling not in ("argmax", "end", "last"):
            raise ValueError(f"pooling must be argmax, end or last, got {self.pooling!r}")
        if (self.pooling == "end") != (self.end_id is not None):
            raise ValueError(f"pooling {self.pooling!r} does not go with end_id {self.end_id}")

    @property
    def attention_width(self) -> int:
        """Channels of all heads of a layer together."""
        return self.width


ImageConfig = VisionTransformerConfig | ModifiedResNetConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipConfig:
    """Two towers, their projections, and the similarity: everything of a model but its weights."""

    image: ImageConfig
    text: TextTransformerConfig
    embed_dim: int
    """Width E of the joint space."""
    has_text_bias: bool = False
    """Whether the projection of the text tower adds a bias, as SigLIP's does."""
    has_logit_bias: bool = False
    """Whether the similarity adds a learnt bias, as SigLIP's does."""

    def __post_init__(self) -> None:
        _check_positive(self, "embed_dim")
        if self.image_width != self.embed_dim and not self.has_image_projection:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not the {self.image_width} that the image tower "
                "gives, and it has no projection"
            )

    @property
    def image_width(self) -> int:
        """Width of what the image tower says before its projection."""
        if isinstance(self.image, ModifiedResNetConfig):
            return self.image.output_width
        return self.image.width

    @property
    def has_image_projection(self) -> bool:
        """Whether a matrix follows the image tower; attention pooling brings its own."""
        return (
            isinstance(self.image, VisionTransformerConfig) and self.image.pooling == "class_token"
        )

    @property
    def is_siglip(self) -> bool:
        """Whether it is of the SigLIP family: pooled by attention, compared with a bias."""
        return not self.has_image_projection and isinstance(self.image, VisionTransformerConfig)


TowerConfig = VisionTransformerConfig | ModifiedResNetConfig | TextTransformerConfig

KINDS: Mapping[str, type[TowerConfig]] = {
    "vision-transformer": VisionTransformerConfig,
    "modified-resnet": ModifiedResNetConfig,
    "text-transformer": TextTransformerConfig,
}


def describe(config: TowerConfig) -> dict[str, Any]:
    """Return what config.json of a bundle says of a tower."""
    (kind,) = (kind for kind, known in KINDS.items() if isinstance(config, known))
    return {"kind": kind, **to_dict(config)}


def read_description(values: Mapping[str, Any], *, where: str) -> TowerConfig:
    """Return the config that `describe` was given.

    Raises:
        ConfigError: if the kind or a setting is unknown or out of range.
    """
    settings = dict(values)
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise ConfigError(f"{where}: unknown tower {kind!r}", hint=nearest(str(kind), KINDS))
    return from_dict(KINDS[kind], settings, where=where)


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        if not 1 <= getattr(config, name) < 1 << 31:
            raise ValueError(f"{name} must be 1 or more, got {getattr(config, name)}")


def _check_blocks(depth: int, width: int, num_heads: int, activation: str) -> None:
    if not 1 <= depth <= MAX_DEPTH:
        raise ValueError(f"depth must be 1 to {MAX_DEPTH}, got {depth}")
    if width % num_heads:
        raise ValueError(f"width {width} does not divide into {num_heads} heads")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
