"""What a model is, read from the shapes of its tensors in OpenAI's names.

OpenAI's files have no settings beside the weights: its code reads depth, width and resolution from
the shapes, takes 64 channels for a head and four times the width for the inner layer of a block.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from wordsight.checkpoints.tensors import LazyTensor
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    RESNET_REDUCTION,
    Activation,
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)

HEAD_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of a file nobody vouches for."""

    path: Path
    tensors: Mapping[str, LazyTensor]

    def of(self, name: str, rank: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            CheckpointError: if it is missing, empty, or has another number of axes.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.path}: layer {name!r} is missing")
        shape = self.tensors[name].shape
        if len(shape) != rank or not all(shape):
            raise CheckpointError(
                f"{self.path}: layer {name!r} has shape {shape}, expected {rank} axes"
            )
        return shape

    def count(self, prefix: str) -> int:
        """Return the number of different names that follow `prefix` up to the next full stop."""
        rest = (name[len(prefix) :] for name in self.tensors if name.startswith(prefix))
        return len({name.split(".", 1)[0] for name in rest})

    def side(self, name: str, positions: int) -> int:
        """Return the side of the square that so many positions fill.

        Raises:
            CheckpointError: if they fill none.
        """
        side = math.isqrt(max(positions, 0))
        if side < 1 or side * side != positions:
            raise CheckpointError(
                f"{self.path}: layer {name!r} has {positions} places for patches, not a square"
            )
        return side


def infer(shapes: Shapes, activation: Activation, *, prefix: str = "") -> ClipConfig:
    """Return the model that OpenAI's code would build for these shapes.

    Args:
        shapes: those of the file.
        activation: no shape tells it.
        prefix: what stands before the names of the text tower.

    Raises:
        CheckpointError: naming file and layer, if the shapes are those of no model.
    """
    try:
        return ClipConfig(
            image=_infer_image(shapes, activation),
            text=infer_text(shapes, activation, prefix=prefix),
            embed_dim=shapes.of(f"{prefix}text_projection", 2)[1],
        )
    except ValueError as error:
        raise CheckpointError(f"{shapes.path}: no such model can be built: {error}") from None


def infer_text(shapes: Shapes, activation: Activation, *, prefix: str) -> TextTransformerConfig:
    """Return a causal text tower that these shapes fit.

    Raises:
        CheckpointError: naming file and layer.
        ValueError: if the numbers contradict each other.
    """
    context_length, width = shapes.of(f"{prefix}positional_embedding", 2)
    return TextTransformerConfig(
        vocab_size=shapes.of(f"{prefix}token_embedding.weight", 2)[0],
        context_length=context_length,
        width=width,
        depth=shapes.count(f"{prefix}transformer.resblocks."),
        num_heads=max(1, width // HEAD_WIDTH),
        mlp_width=shapes.of(f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=activation,
    )


def _infer_image(shapes: Shapes, activation: Activation) -> ImageConfig:
    if "visual.class_embedding" not in shapes.tensors:
        return _infer_resnet(shapes)
    name = "visual.positional_embedding"
    positions, width = shapes.of(name, 2)
    patch_size = shapes.of("visual.conv1.weight", 4)[-1]
    return VisionTransformerConfig(
        image_size=patch_size * shapes.side(name, positions - 1),
        patch_size=patch_size,
        width=width,
        depth=shapes.count("visual.transformer.resblocks."),
        num_heads=max(1, width // HEAD_WIDTH),
        mlp_width=shapes.of("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=activation,
    )


def _infer_resnet(shapes: Shapes) -> ModifiedResNetConfig:
    name = "visual.attnpool.positional_embedding"
    positions, _ = shapes.of(name, 2)
    width = shapes.of("visual.layer1.0.conv1.weight", 4)[0]
    depths = tuple(shapes.count(f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    return ModifiedResNetConfig(
        image_size=RESNET_REDUCTION * shapes.side(name, positions - 1),
        depths=cast(tuple[int, int, int, int], depths),
        width=width,
        num_heads=max(1, 32 * width // HEAD_WIDTH),
        output_width=shapes.of("visual.attnpool.c_proj.weight", 2)[0],
    )


def built_elsewise(config: ClipConfig) -> str:
    """Return why OpenAI's code would build something else from these weights, or nothing."""
    text = config.text
    if config.is_siglip:
        return "its picture tower is pooled by attention, as SigLIP's"
    if config.has_text_bias or config.has_logit_bias:
        return "its text projection or its similarity has a bias"
    if not text.is_causal or text.pooling != "argmax":
        return "its text tower is not causal and read at the largest id"
    return _odd_image(config.image) or _odd_transformer(text, "text")


def _odd_image(image: ImageConfig) -> str:
    if isinstance(image, VisionTransformerConfig):
        if image.image_size % image.patch_size:
            return f"{image.image_size} pixels are not a multiple of patches of {image.patch_size}"
        return _odd_transformer(image, "picture")
    if image.image_size % RESNET_REDUCTION:
        return f"{image.image_size} pixels are not a multiple of {RESNET_REDUCTION}"
    if image.num_heads != 32 * image.width // HEAD_WIDTH:
        return f"its attention pooling has {image.num_heads} heads"
    return ""


def _odd_transformer(tower: VisionTransformerConfig | TextTransformerConfig, side: str) -> str:
    where = f"its {side} tower has"
    if tower.num_heads != tower.width // HEAD_WIDTH:
        return f"{where} {tower.num_heads} heads at width {tower.width}, not {HEAD_WIDTH} each"
    if tower.mlp_width != 4 * tower.width:
        return f"{where} an inner width of {tower.mlp_width}, not four times {tower.width}"
    if tower.activation != "quick_gelu":
        return f"{where} the activation {tower.activation}, not quick_gelu"
    if tower.norm_eps != 1e-5:
        return f"{where} norms with epsilon {tower.norm_eps}, not 1e-05"
    return ""
