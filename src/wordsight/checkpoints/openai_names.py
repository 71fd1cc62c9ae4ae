"""Our names of tensors and those of OpenAI's CLIP code, which open_clip took over.

The text tower stands under no prefix in OpenAI's files, and under `text.` in those of open_clip's
class CustomTextCLIP; the picture tower always under `visual.`.
"""

from collections.abc import Generator, Iterable

import torch

from wordsight.checkpoints.links import TRANSPOSED, Link, reshaped
from wordsight.model.architecture import (
    ClipConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

IMAGE, TEXT = "image.tower", "text.tower"
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")
"""What files hold beside weights: three numbers in OpenAI's archives, and the causal mask where a
model was saved as TorchScript."""
_BLOCK = (
    ("norm1.weight", "ln_1.weight"),
    ("norm1.bias", "ln_1.bias"),
    ("attention.qkv.weight", "attn.in_proj_weight"),
    ("attention.qkv.bias", "attn.in_proj_bias"),
    ("attention.out.weight", "attn.out_proj.weight"),
    ("attention.out.bias", "attn.out_proj.bias"),
    ("norm2.weight", "ln_2.weight"),
    ("norm2.bias", "ln_2.bias"),
    ("mlp.expand.weight", "mlp.c_fc.weight"),
    ("mlp.expand.bias", "mlp.c_fc.bias"),
    ("mlp.project.weight", "mlp.c_proj.weight"),
    ("mlp.project.bias", "mlp.c_proj.bias"),
)
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def openai_links(config: ClipConfig) -> list[Link]:
    """Return every link of a model in OpenAI's names.

    Raises:
        ValueError: if the picture tower is SigLIP's, for which OpenAI has no names.
    """
    return [*image_links(config), *text_links(config), *similarity_links(config)]


def image_links(config: ClipConfig) -> list[Link]:
    """Return the links of the picture tower and its projection, if it has one.

    Raises:
        ValueError: as `openai_links`.
    """
    if isinstance(config.image, ModifiedResNetConfig):
        return list(_resnet(config.image))
    if config.image.pooling != "class_token":
        raise ValueError("OpenAI's names have no attention pooling over patches")
    return list(_vision_transformer(config.image))


def text_links(config: ClipConfig, *, prefix: str = "") -> list[Link]:
    """Return the links of the text tower and its projection; `prefix` is `text.` or nothing."""
    links = list(_text_transformer(config.text, prefix))
    theirs = f"{prefix}text_projection"
    if not config.has_text_bias:
        return [*links, Link("text.head.linear.weight", (theirs,), TRANSPOSED)]
    return [*links, *(_same("text.head.linear", theirs, kind) for kind in ("weight", "bias"))]


def similarity_links(config: ClipConfig) -> list[Link]:
    """Return the links of scale and bias; files hold them with one axis or none."""
    scalar = reshaped((), ())
    links = [Link("logit_scale", ("logit_scale",), scalar)]
    if config.has_logit_bias:
        # open_clip starts a bias that a file does not have at zero
        links.append(Link("logit_bias", ("logit_bias",), scalar, default=lambda: torch.zeros(())))
    return links


def block_links(ours: str, theirs: str, depth: int) -> Generator[Link]:
    """Yield the links of the blocks of a transformer."""
    for index in range(depth):
        for mine, other in _BLOCK:
            yield Link(f"{ours}.blocks.{index}.{mine}", (f"{theirs}.resblocks.{index}.{other}",))


def _text_transformer(config: TextTransformerConfig, prefix: str) -> Generator[Link]:
    yield Link(f"{TEXT}.token_embedding.weight", (f"{prefix}token_embedding.weight",))
    yield Link(f"{TEXT}.position_embedding", (f"{prefix}positional_embedding",))
    yield from block_links(TEXT, f"{prefix}transformer", config.depth)
    yield from _norm(f"{TEXT}.norm", f"{prefix}ln_final")


def _vision_transformer(config: VisionTransformerConfig) -> Generator[Link]:
    yield Link(f"{IMAGE}.patch_embedding.weight", ("visual.conv1.weight",))
    yield Link(f"{IMAGE}.class_embedding", ("visual.class_embedding",))
    yield Link(f"{IMAGE}.position_embedding", ("visual.positional_embedding",))
    yield from _norm(f"{IMAGE}.pre_norm", "visual.ln_pre")
    yield from block_links(IMAGE, "visual.transformer", config.depth)
    yield from _norm(f"{IMAGE}.norm", "visual.ln_post")
    yield Link("image.head.linear.weight", ("visual.proj",), TRANSPOSED)


def _resnet(config: ModifiedResNetConfig) -> Generator[Link]:
    for index in (1, 2, 3):
        yield _same(f"{IMAGE}.stem.conv{index}", f"visual.conv{index}", "weight")
        yield from _batch_norm(f"{IMAGE}.stem.norm{index}", f"visual.bn{index}")
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            yield from _bottleneck(
                f"{IMAGE}.stages.{stage}.{block}", f"visual.layer{stage + 1}.{block}", block == 0
            )
    yield Link(f"{IMAGE}.pool.position_embedding", ("visual.attnpool.positional_embedding",))
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "c")):
        for kind in ("weight", "bias"):
            yield _same(f"{IMAGE}.pool.{ours}", f"visual.attnpool.{theirs}_proj", kind)


def _bottleneck(ours: str, theirs: str, has_shortcut: bool) -> Generator[Link]:
    for index in (1, 2, 3):
        yield _same(f"{ours}.conv{index}", f"{theirs}.conv{index}", "weight")
        yield from _batch_norm(f"{ours}.norm{index}", f"{theirs}.bn{index}")
    if has_shortcut:
        yield _same(f"{ours}.shortcut.conv", f"{theirs}.downsample.0", "weight")
        yield from _batch_norm(f"{ours}.shortcut.norm", f"{theirs}.downsample.1")


def _batch_norm(ours: str, theirs: str) -> Iterable[Link]:
    yield from (_same(ours, theirs, kind) for kind in _BATCH_NORM)
    yield _same(ours, theirs, "num_batches_tracked")


def _norm(ours: str, theirs: str) -> Iterable[Link]:
    return (_same(ours, theirs, kind) for kind in ("weight", "bias"))


def _same(ours: str, theirs: str, kind: str) -> Link:
    return Link(f"{ours}.{kind}", (f"{theirs}.{kind}",))
