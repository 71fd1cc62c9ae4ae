"""SigLIP as open_clip keeps it: a picture tower of timm, and a text tower with a prefix.

timm's name of the tower is all that open_clip's config says of it; its sizes stand in the table
below. The pooling joins key and value of its attention, and keeps the query apart.
"""

import re
from collections.abc import Generator

from wordsight.checkpoints.links import Link, reshaped, stacked
from wordsight.checkpoints.openai_names import IMAGE, similarity_links, text_links
from wordsight.checkpoints.openai_shapes import HEAD_WIDTH, Shapes
from wordsight.model.architecture import Activation, ClipConfig, VisionTransformerConfig
from wordsight.model.zoo.siglip import tanh_shapes

TRUNK = "visual.trunk"
NORM_EPS = 1e-6
_SIZES = {
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "so400m": (1152, 27, 16, 4304),
    "giantopt": (1536, 40, 16, 6144),
}
"""Width, depth, heads and inner width by the word that timm has for them."""
_RESOLUTIONS = {
    ("base", 32): (256,),
    ("base", 16): (224, 256, 384, 512),
    ("large", 16): (256, 384, 512),
    ("so400m", 14): (224, 378, 384),
    ("so400m", 16): (256, 384, 512),
    ("giantopt", 16): (256, 384),
}
"""Picture sizes that timm has names for, by size and patch."""
_NAME = re.compile(r"vit_([a-z0-9]+)_patch\d+_siglip_\d+(\.\w+)?")
_BLOCK = (
    ("norm1", "norm1"),
    ("attention.qkv", "attn.qkv"),
    ("attention.out", "attn.proj"),
    ("norm2", "norm2"),
    ("mlp.expand", "mlp.fc1"),
    ("mlp.project", "mlp.fc2"),
)
_POOL = (
    ("attention.out", "proj"),
    ("norm", "norm"),
    ("mlp.expand", "mlp.fc1"),
    ("mlp.project", "mlp.fc2"),
)


def siglip_links(config: ClipConfig) -> list[Link]:
    """Return every link of a SigLIP model in open_clip's names."""
    assert isinstance(config.image, VisionTransformerConfig)
    return [
        *_trunk(config.image),
        *text_links(config, prefix="text."),
        *similarity_links(config),
    ]


def is_siglip_name(name: str) -> bool:
    """Say whether timm calls a tower by this name that is pooled by attention, as SigLIP's."""
    return _NAME.fullmatch(name) is not None


def infer_trunk(shapes: Shapes, image_size: int | None = None) -> VisionTransformerConfig:
    """Return the picture tower that these shapes fit.

    Its heads and its activation are those that timm has for the shape.

    Args:
        shapes: those of the file.
        image_size: side of the picture; by default the patches without a rest.

    Raises:
        CheckpointError: naming file and layer.
        ValueError: if the numbers contradict each other.
    """
    name = f"{TRUNK}.pos_embed"
    _, positions, width = shapes.of(name, 3)
    patch_size = shapes.of(f"{TRUNK}.patch_embed.proj.weight", 4)[-1]
    side = image_size or patch_size * shapes.side(name, positions)
    return VisionTransformerConfig(
        image_size=side,
        patch_size=patch_size,
        width=width,
        depth=shapes.count(f"{TRUNK}.blocks."),
        num_heads=siglip_heads(width),
        mlp_width=shapes.of(f"{TRUNK}.blocks.0.mlp.fc1.weight", 2)[0],
        activation=trunk_activation(width, patch_size, side),
        norm_eps=NORM_EPS,
        pooling="attention",
    )


def siglip_heads(width: int) -> int:
    """Return the heads of a SigLIP tower, of pictures or texts; 64 channels each if unknown."""
    known = (heads for other, _, heads, _ in _SIZES.values() if other == width)
    return next(known, max(1, width // HEAD_WIDTH))


def trunk_activation(width: int, patch_size: int, image_size: int) -> Activation:
    """Return the activation that timm has in a picture tower of this shape.

    It is exact GELU, even where the model was trained with the tanh approximation, but for those
    that timm was given together with SigLIP 2.
    """
    return "gelu_tanh" if (width, patch_size, image_size) in tanh_shapes() else "gelu"


def timm_name(config: VisionTransformerConfig) -> str:
    """Return timm's name of a picture tower, or nothing if it has none."""
    sizes = (config.width, config.depth, config.num_heads, config.mlp_width)
    for word, known in _SIZES.items():
        if sizes == known and config.image_size in _RESOLUTIONS.get((word, config.patch_size), ()):
            return f"vit_{word}_patch{config.patch_size}_siglip_{config.image_size}"
    return ""


def _trunk(config: VisionTransformerConfig) -> Generator[Link]:
    positions, width = config.num_positions, config.width
    yield from _pair(f"{IMAGE}.patch_embedding", f"{TRUNK}.patch_embed.proj")
    yield Link(
        f"{IMAGE}.position_embedding",
        (f"{TRUNK}.pos_embed",),
        reshaped((positions, width), (1, positions, width)),
    )
    for index in range(config.depth):
        for ours, theirs in _BLOCK:
            yield from _pair(f"{IMAGE}.blocks.{index}.{ours}", f"{TRUNK}.blocks.{index}.{theirs}")
    yield from _pair(f"{IMAGE}.norm", f"{TRUNK}.norm")
    yield Link(f"{IMAGE}.pool.probe", (f"{TRUNK}.attn_pool.latent",))
    for kind in ("weight", "bias"):
        theirs = (f"{TRUNK}.attn_pool.q.{kind}", f"{TRUNK}.attn_pool.kv.{kind}")
        yield Link(f"{IMAGE}.pool.attention.qkv.{kind}", theirs, stacked(1, 2))
    for ours, other in _POOL:
        yield from _pair(f"{IMAGE}.pool.{ours}", f"{TRUNK}.attn_pool.{other}")


def _pair(ours: str, theirs: str) -> Generator[Link]:
    for kind in ("weight", "bias"):
        yield Link(f"{ours}.{kind}", (f"{theirs}.{kind}",))
