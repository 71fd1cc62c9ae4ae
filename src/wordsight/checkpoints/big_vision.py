"""Arrays of big_vision, the code SigLIP and SigLIP 2 were trained with (`.npz`).

The arrays come without a config, so the architecture is read off their shapes. What shapes cannot
say, the activation and the epsilon of the norms, is what big_vision's models have: GELU by tanh
(the default of flax) and 1e-6.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from wordsight.checkpoints.assembly import Detected, assemble, usual_preprocessing
from wordsight.checkpoints.big_vision_links import (
    ATTENTION,
    IMAGE_BLOCKS,
    TEXT_BLOCKS,
    Blocks,
    siglip_links,
)
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.links import Link, write_weights
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.config import nearest
from wordsight.errors import CheckpointError
from wordsight.model.architecture import (
    MAX_DEPTH,
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import expected_shapes

ROOT = "params/"
"""Root of the weights in a checkpoint that was saved while training; the optimiser is beside it."""
MARK = "img/embedding/kernel"
NORM_EPS = 1e-6
REFUSED = {
    "img/cls": "its image tower pools at a class token (pool_type 'tok')",
    "img/head/kernel": "its image tower has a projection",
    "img/pre_logits/kernel": "its image tower has a hidden layer after its pooling (rep_size)",
    "txt/MAPHead_0/probe": "its text tower pools by attention (pool_type 'map')",
    "txt/cls": "its text tower pools at a class token (pool_type 'tok')",
}
"""Layers of models that big_vision can train and that are not SigLIP."""


def read_big_vision(path: Path, overrides: Overrides) -> Checkpoint:
    """Read the arrays of a SigLIP or SigLIP 2 model with a fixed resolution.

    The side of the pictures is what its patches cover. Where it was trained on a larger one whose
    last pixels fill no patch (so400m/14 at 384 px has 27 patches a side, 378 px), the size of
    `overrides.preprocessing` says so.

    Raises:
        CheckpointError: naming file and layer, where it is another kind of model, or a layer is
            missing, of a wrong shape, or unexpected.
    """
    file = open_weights(path)
    arrays = _Arrays(path, file.tensors)
    arrays.refuse_others()
    image_blocks, text_blocks = arrays.blocks(IMAGE_BLOCKS), arrays.blocks(TEXT_BLOCKS)
    try:
        config = _architecture(arrays, image_blocks, text_blocks, overrides)
    except ValueError as error:
        raise CheckpointError(f"{path}: the shapes of the layers make no model: {error}") from None
    links = siglip_links(config, image_blocks, text_blocks)
    arrays.check_shapes(links, expected_shapes(config))
    found = Detected(
        path=path,
        home=path.parent,
        name=path.stem,
        format="big_vision",
        architecture=config,
        preprocessing=usual_preprocessing(config),
        notes=_notes(arrays, config, image_blocks, overrides),
    )
    return assemble(found, replace(file, tensors=arrays.known), links, overrides)


class _Arrays:
    """Arrays of one file by the names they have below its root."""

    def __init__(self, path: Path, arrays: Mapping[str, LazyTensor]):
        self.path = path
        root = ROOT if ROOT + MARK in arrays else ""
        self.known = {
            name.removeprefix(root): array
            for name, array in arrays.items()
            if name.startswith(root)
        }
        self.num_left = len(arrays) - len(self.known)
        """Arrays beside the weights: the optimiser's."""

    def shape(self, name: str, letters: str) -> tuple[int, ...]:
        """Return the shape of an array, which must have as many axes as there are letters."""
        if name not in self.known:
            raise CheckpointError(
                f"{self.path}: layer {name!r} is missing", hint=nearest(name, self.known)
            )
        shape = self.known[name].shape
        if len(shape) != len(letters.split()):
            raise CheckpointError(f"{self.path}: layer {name!r} is {shape}; expected ({letters})")
        return shape

    def refuse_others(self) -> None:
        """Refuse models that are not SigLIP, with the reason."""
        for name, reason in REFUSED.items():
            if name in self.known:
                raise CheckpointError(
                    f"{self.path}: layer {name!r} is not SigLIP's: {reason}",
                    hint="of big_vision's models, SigLIP and SigLIP 2 are read",
                )
        if MARK not in self.known:
            raise CheckpointError(
                f"{self.path}: layer {MARK!r} is missing: arrays, but not of a SigLIP of big_vision"
            )
        if len(self.known[MARK].shape) == 2:
            raise CheckpointError(
                f"{self.path}: layer {MARK!r} is {self.known[MARK].shape}: it is a NaFlex model",
                hint="its Hugging Face folder (model_type siglip2) can be read",
            )

    def blocks(self, folder: str) -> Blocks:
        """Find out how many blocks a tower has; where one array holds all, part it into slices."""
        prefix = f"{folder}/encoderblock/"
        stacked = [name for name in self.known if name.startswith(prefix)]
        if not stacked:
            pattern = re.compile(re.escape(folder) + r"/encoderblock_(\d{1,4})/")
            numbers = (int(found[1]) for name in self.known if (found := pattern.match(name)))
            return Blocks(folder, max(numbers, default=-1) + 1, is_stacked=False)
        depth = self.shape(f"{prefix}LayerNorm_0/scale", "depth D")[0]
        for name in stacked:
            array = self.known[name]
            if array.shape[:1] != (depth,) or depth > MAX_DEPTH:
                raise CheckpointError(
                    f"{self.path}: layer {name!r} is {array.shape}; expected ({depth}, ...) for "
                    f"blocks of a model, {MAX_DEPTH} at most"
                )
            del self.known[name]
            self.known |= {f"{name}[{index}]": _slice(array, index) for index in range(depth)}
        return Blocks(folder, depth, is_stacked=True)

    def check_shapes(self, links: list[Link], expected: Mapping[str, tuple[int, ...]]) -> None:
        """Compare each array's shape, heads included, with what the architecture asks for."""
        shells = {name: _shell(shape) for name, shape in expected.items()}
        for name, shell in write_weights(shells, links).items():
            if name in self.known and self.known[name].shape != shell.shape:
                raise CheckpointError(
                    f"{self.path}: layer {name!r} is {self.known[name].shape}; "
                    f"expected {shell.shape}"
                )


def _slice(array: LazyTensor, index: int) -> LazyTensor:
    def read() -> Tensor:
        if array.read_entry is not None:
            return array.read_entry(index)
        return array.read()[index].clone()  # else all blocks would stay in memory behind one

    return LazyTensor(array.shape[1:], array.dtype, read)


def _shell(shape: tuple[int, ...]) -> LazyTensor:
    return LazyTensor(shape, torch.float32, lambda: torch.empty(shape, device="meta"))


def _architecture(
    arrays: _Arrays, image_blocks: Blocks, text_blocks: Blocks, overrides: Overrides
) -> ClipConfig:
    patch, _, _, width = arrays.shape(MARK, "P P 3 D")
    num_positions = arrays.shape("img/pos_embedding", "1 N D")[1]
    grid = math.isqrt(num_positions)
    if grid**2 != num_positions:
        raise ValueError(f"the {num_positions} positions of 'img/pos_embedding' are no square")
    vocab_size, text_width = arrays.shape("txt/Embed_0/embedding", "vocabulary D")
    return ClipConfig(
        embed_dim=arrays.shape("txt/head/kernel", "D E")[1],
        has_text_bias=True,
        has_logit_bias=True,
        image=VisionTransformerConfig(
            image_size=_image_size(grid, patch, overrides),
            patch_size=patch,
            width=width,
            depth=image_blocks.depth,
            num_heads=_num_heads(arrays, image_blocks),
            mlp_width=_mlp_width(arrays, image_blocks),
            activation="gelu_tanh",
            norm_eps=NORM_EPS,
            pooling="attention",
        ),
        text=TextTransformerConfig(
            vocab_size=vocab_size,
            context_length=arrays.shape("txt/pos_embedding", "1 N D")[1],
            width=text_width,
            depth=text_blocks.depth,
            num_heads=_num_heads(arrays, text_blocks),
            mlp_width=_mlp_width(arrays, text_blocks),
            activation="gelu_tanh",
            norm_eps=NORM_EPS,
            is_causal=False,
            pooling="last",
        ),
    )


def _num_heads(arrays: _Arrays, blocks: Blocks) -> int:
    return arrays.shape(blocks.place(0)(f"{ATTENTION}/query/kernel"), "D H d")[1]


def _mlp_width(arrays: _Arrays, blocks: Blocks) -> int:
    return arrays.shape(blocks.place(0)("MlpBlock_0/Dense_0/kernel"), "D M")[1]


def _image_size(grid: int, patch: int, overrides: Overrides) -> int:
    covered = grid * patch
    asked = covered if overrides.preprocessing is None else overrides.preprocessing.size
    return asked if covered <= asked < covered + patch else covered


def _notes(
    arrays: _Arrays, config: ClipConfig, blocks: Blocks, overrides: Overrides
) -> tuple[str, ...]:
    image = config.image
    kept = "all in one array" if blocks.is_stacked else "one by one"
    notes = [
        f"arrays of big_vision, blocks {kept}; architecture from their shapes",
        f"pictures of {image.image_size} px: {image.grid} x {image.grid} patches",
    ]
    notes.append("activation gelu_tanh: big_vision has no other")
    if overrides.preprocessing is None:
        notes.append("pictures are prepared as open_clip does for SigLIP")
    if arrays.num_left:
        notes.append(f"{arrays.num_left} arrays outside {ROOT!r} are not weights of the model")
    return tuple(notes)
