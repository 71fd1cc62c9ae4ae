"""Weights to begin learning from.

CLIP's as in the code of the paper, which gives the text tower GPT-2's rule and leaves the layers
of the vision transformer to torch's defaults; SigLIP's as in big_vision.

Shape letters: D width, P side of a patch, E joint space.
"""

import torch
from torch import Tensor, nn

from wordsight.model.architecture import CLIP_LOG_SCALE, SIGLIP_BIAS, SIGLIP_LOG_SCALE
from wordsight.model.attention_pool import AttentionPool
from wordsight.model.clip import Clip, ProjectedTower
from wordsight.model.layers import Block, LayerNorm
from wordsight.model.resnet import ModifiedResNet
from wordsight.model.text_transformer import TextTransformer
from wordsight.model.vision_transformer import VisionTransformer

TRUNCATION = 0.87962566103423978
"""Deviation of a standard normal that is cut off at two deviations."""


@torch.no_grad()
def initialise(clip: Clip, *, generator: torch.Generator | None = None) -> None:
    """Draw all weights anew; with a generator of its own the same ones each time."""
    Initialiser(generator).clip(clip)


class Initialiser:
    """Draws weights from one generator."""

    def __init__(self, generator: torch.Generator | None):
        self._generator = generator

    def clip(self, clip: Clip) -> None:
        """Draw the weights of a model, by the rules of its family."""
        for module in clip.modules():
            if isinstance(module, LayerNorm):
                module.reset_parameters()
        is_siglip = clip.config.is_siglip
        image, text = clip.image.tower, clip.text.tower
        assert isinstance(text, TextTransformer)
        if isinstance(image, ModifiedResNet):
            image.initialise(self._generator)
        elif isinstance(image, VisionTransformer):
            (self._siglip_image if is_siglip else self._clip_image)(image)
        (self._siglip_text if is_siglip else self._clip_text)(text)
        for tower in (clip.image, clip.text):
            if tower.head is not None:
                self._head(tower.head.get_submodule("linear"), is_siglip=is_siglip)
        clip.logit_scale.fill_(SIGLIP_LOG_SCALE if is_siglip else CLIP_LOG_SCALE)
        if clip.logit_bias is not None:
            clip.logit_bias.fill_(SIGLIP_BIAS)

    @torch.no_grad()
    def image(self, image: ProjectedTower) -> None:
        """Draw the weights of an image tower alone, by the rules of its family."""
        for module in image.modules():
            if isinstance(module, LayerNorm):
                module.reset_parameters()
        tower = image.tower
        is_siglip = isinstance(tower, VisionTransformer) and tower.pool is not None
        if isinstance(tower, ModifiedResNet):
            tower.initialise(self._generator)
        elif isinstance(tower, VisionTransformer):
            (self._siglip_image if is_siglip else self._clip_image)(tower)
        if image.head is not None:
            self._head(image.head.get_submodule("linear"), is_siglip=is_siglip)

    def _head(self, linear: nn.Module, *, is_siglip: bool) -> None:
        assert isinstance(linear, nn.Linear)
        if is_siglip:
            self._lecun_normal(linear.weight)
        else:
            self._normal(linear.weight, linear.in_features**-0.5)
        for bias in (value for name, value in linear.named_parameters() if name == "bias"):
            bias.zero_()

    def _clip_text(self, tower: TextTransformer) -> None:
        width, depth = tower.config.width, tower.config.depth
        self._normal(tower.token_embedding.weight, 0.02)
        self._normal(tower.position_embedding, 0.01)
        for block in blocks_of(tower):
            self._normal(block.attention.qkv.weight, width**-0.5)
            self._normal(block.attention.out.weight, (width * 2 * depth) ** -0.5)
            self._default(block.mlp.expand)
            self._default(block.mlp.project)
            self._normal(block.mlp.expand.weight, (2 * width) ** -0.5)
            self._normal(block.mlp.project.weight, (width * 2 * depth) ** -0.5)
            block.attention.qkv.bias.zero_()
            block.attention.out.bias.zero_()

    def _clip_image(self, tower: VisionTransformer) -> None:
        scale = tower.config.width**-0.5
        assert tower.class_embedding is not None
        self._default(tower.patch_embedding)
        self._normal(tower.class_embedding, scale)
        self._normal(tower.position_embedding, scale)
        for block in blocks_of(tower):
            nn.init.xavier_uniform_(block.attention.qkv.weight, generator=self._generator)
            for linear in (block.attention.out, block.mlp.expand, block.mlp.project):
                self._default(linear)
            block.attention.qkv.bias.zero_()
            block.attention.out.bias.zero_()

    def _siglip_text(self, tower: TextTransformer) -> None:
        scale = tower.config.width**-0.5
        self._normal(tower.token_embedding.weight, scale)
        self._normal(tower.position_embedding, scale)
        for block in blocks_of(tower):
            self._xavier(block)

    def _siglip_image(self, tower: VisionTransformer) -> None:
        width = tower.config.width
        assert tower.pool is not None
        assert tower.patch_embedding.bias is not None
        self._lecun_normal(tower.patch_embedding.weight)
        tower.patch_embedding.bias.zero_()
        self._normal(tower.position_embedding, width**-0.5)
        bound = (6 / (1 + width)) ** 0.5  # Glorot's, of a matrix of one row
        nn.init.uniform_(tower.pool.probe, -bound, bound, generator=self._generator)
        for layer in (*blocks_of(tower), tower.pool):
            self._xavier(layer)

    def _xavier(self, layer: Block | AttentionPool) -> None:
        for square in (*layer.attention.qkv.weight.chunk(3), layer.attention.out.weight):
            nn.init.xavier_uniform_(square, generator=self._generator)
        layer.attention.qkv.bias.zero_()
        layer.attention.out.bias.zero_()
        for linear in (layer.mlp.expand, layer.mlp.project):
            nn.init.xavier_uniform_(linear.weight, generator=self._generator)
            self._normal(linear.bias, 1e-6)

    def _normal(self, weight: Tensor, deviation: float) -> None:
        nn.init.normal_(weight, std=deviation, generator=self._generator)

    def _lecun_normal(self, weight: Tensor) -> None:
        deviation = weight[0].numel() ** -0.5 / TRUNCATION
        nn.init.trunc_normal_(
            weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=self._generator
        )

    def _default(self, layer: nn.Linear | nn.Conv2d) -> None:
        """Draw what torch draws for a new layer (He et al., 2015, with a slope of sqrt 5)."""
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=self._generator)
        if layer.bias is not None:
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.bias, -bound, bound, generator=self._generator)


def blocks_of(tower: TextTransformer | VisionTransformer) -> list[Block]:
    """Return the layers of a tower."""
    return [block for block in tower.blocks if isinstance(block, Block)]
