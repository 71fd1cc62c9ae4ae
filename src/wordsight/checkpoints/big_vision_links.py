"""Names and layouts of the arrays that big_vision keeps of a SigLIP model.

Dense layers of flax multiply from the right, so theirs are the transposes of ours; attention has
its heads as an axis. Blocks are kept one by one (`encoderblock_3/...`), or, where the model was
scanned over its depth, all in one array with the depth in front (`encoderblock/...`).

Shape letters: D width of a tower, H heads, d channels of a head, P pixels of a patch's side.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from wordsight.checkpoints.links import TRANSPOSED, Layout, Link, reshaped
from wordsight.model.architecture import ClipConfig, VisionTransformerConfig

IMAGE_BLOCKS = "img/Transformer"
TEXT_BLOCKS = "txt/Encoder_0"
ATTENTION = "MultiHeadDotProductAttention_0"
CONVOLUTION = Layout(
    lambda parts: parts[0].permute(3, 2, 0, 1).contiguous(),
    lambda tensor: (tensor.permute(2, 3, 1, 0).contiguous(),),
)
"""(P, P, 3, D) to (D, 3, P, P)."""

Place = Callable[[str], str]
"""The full name of a layer of some part of the model."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the blocks of one tower are, and in which of the two ways."""

    folder: str
    depth: int
    is_stacked: bool

    def place(self, index: int) -> Place:
        """Return what names a layer of a block; a slice of an array is named `array[index]`."""
        if self.is_stacked:
            return lambda layer: f"{self.folder}/encoderblock/{layer}[{index}]"
        return inside(f"{self.folder}/encoderblock_{index}")


def inside(folder: str) -> Place:
    """Return what names a layer of a folder."""
    return lambda layer: f"{folder}/{layer}"


def siglip_links(config: ClipConfig, image_blocks: Blocks, text_blocks: Blocks) -> list[Link]:
    """Return the names of a SigLIP model's arrays."""
    image, text = config.image, config.text
    assert isinstance(image, VisionTransformerConfig)
    pool, head = "image.tower.pool", inside("img/MAPHead_0")
    return [
        Link("image.tower.patch_embedding.weight", ("img/embedding/kernel",), CONVOLUTION),
        Link("image.tower.patch_embedding.bias", ("img/embedding/bias",)),
        _positions("image.tower", "img", image.num_positions, image.width),
        *_blocks("image.tower", image_blocks, image.num_heads),
        *_norm("image.tower.norm", inside(IMAGE_BLOCKS), "encoder_norm"),
        Link(f"{pool}.probe", (head("probe"),)),
        *_attention(f"{pool}.attention", head, image.num_heads),
        *_norm(f"{pool}.norm", head, "LayerNorm_0"),
        *_dense(f"{pool}.mlp.expand", head, "MlpBlock_0/Dense_0"),
        *_dense(f"{pool}.mlp.project", head, "MlpBlock_0/Dense_1"),
        Link("text.tower.token_embedding.weight", ("txt/Embed_0/embedding",)),
        _positions("text.tower", "txt", text.context_length, text.width),
        *_blocks("text.tower", text_blocks, text.num_heads),
        *_norm("text.tower.norm", inside(TEXT_BLOCKS), "encoder_norm"),
        *_dense("text.head.linear", inside("txt"), "head"),
        Link("logit_scale", ("t",), reshaped((), (1,))),
        Link("logit_bias", ("b",), reshaped((), (1,))),
    ]


def _blocks(ours: str, blocks: Blocks, heads: int) -> list[Link]:
    links: list[Link] = []
    for index in range(blocks.depth):
        mine, place = f"{ours}.blocks.{index}", blocks.place(index)
        links += _norm(f"{mine}.norm1", place, "LayerNorm_0")
        links += _attention(f"{mine}.attention", place, heads)
        links += _norm(f"{mine}.norm2", place, "LayerNorm_1")
        links += _dense(f"{mine}.mlp.expand", place, "MlpBlock_0/Dense_0")
        links += _dense(f"{mine}.mlp.project", place, "MlpBlock_0/Dense_1")
    return links


def _positions(ours: str, folder: str, length: int, width: int) -> Link:
    layout = reshaped((length, width), (1, length, width))
    return Link(f"{ours}.position_embedding", (f"{folder}/pos_embedding",), layout)


def _norm(ours: str, place: Place, layer: str) -> list[Link]:
    return [
        Link(f"{ours}.weight", (place(f"{layer}/scale"),)),
        Link(f"{ours}.bias", (place(f"{layer}/bias"),)),
    ]


def _dense(ours: str, place: Place, layer: str) -> list[Link]:
    return [
        Link(f"{ours}.weight", (place(f"{layer}/kernel"),), TRANSPOSED),
        Link(f"{ours}.bias", (place(f"{layer}/bias"),)),
    ]


def _attention(ours: str, place: Place, heads: int) -> list[Link]:
    def projections(part: str) -> tuple[str, ...]:
        return tuple(place(f"{ATTENTION}/{name}/{part}") for name in ("query", "key", "value"))

    return [
        Link(f"{ours}.qkv.weight", projections("kernel"), _projection_kernels(heads)),
        Link(f"{ours}.qkv.bias", projections("bias"), _projection_biases(heads)),
        Link(f"{ours}.out.weight", (place(f"{ATTENTION}/out/kernel"),), _output_kernel(heads)),
        Link(f"{ours}.out.bias", (place(f"{ATTENTION}/out/bias"),)),
    ]


def _projection_kernels(heads: int) -> Layout:
    """Join query, key and value, each (D, H, d), to (3D, D)."""
    return Layout(
        lambda parts: torch.cat([part.flatten(1).mT for part in parts]),
        lambda tensor: tuple(
            rows.mT.reshape(rows.shape[1], heads, -1).contiguous() for rows in tensor.chunk(3)
        ),
    )


def _projection_biases(heads: int) -> Layout:
    """Join query, key and value, each (H, d), to (3D,)."""
    return Layout(
        lambda parts: torch.cat([part.flatten() for part in parts]),
        lambda tensor: tuple(rows.reshape(heads, -1) for rows in tensor.chunk(3)),
    )


def _output_kernel(heads: int) -> Layout:
    """Turn (H, d, D) into (D, H * d)."""
    return Layout(
        lambda parts: parts[0].flatten(0, 1).mT.contiguous(),
        lambda tensor: (tensor.mT.reshape(heads, -1, tensor.shape[0]).contiguous(),),
    )
