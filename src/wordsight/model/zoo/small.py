"""Models of our own for CPUs and for tests: 2 to 25 million parameters, both towers together.

Their vocabularies are small: it is meant to be learnt from one's own captions. Nobody has published
weights for them.
"""

import dataclasses
from collections.abc import Generator

from wordsight.images import presets
from wordsight.model.architecture import (
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.zoo.entry import ZooModel

HEAD_WIDTH = 64


def _vit(size: int, patch: int, width: int, depth: int) -> VisionTransformerConfig:
    return VisionTransformerConfig(
        image_size=size,
        patch_size=patch,
        width=width,
        depth=depth,
        num_heads=width // HEAD_WIDTH,
        mlp_width=4 * width,
        activation="gelu",
    )


def _resnet(
    size: int, width: int, depths: tuple[int, int, int, int], embed_dim: int
) -> ModifiedResNetConfig:
    heads = 32 * width // HEAD_WIDTH
    return ModifiedResNetConfig(
        image_size=size, depths=depths, width=width, num_heads=heads, output_width=embed_dim
    )


def _text(vocabulary: int, context: int, width: int, depth: int) -> TextTransformerConfig:
    return TextTransformerConfig(
        vocab_size=vocabulary,
        context_length=context,
        width=width,
        depth=depth,
        num_heads=width // HEAD_WIDTH,
        mlp_width=4 * width,
        activation="gelu",
    )


def small_models() -> Generator[ZooModel]:
    """Yield a vision transformer and a ResNet of each size, and of 64 px a wider ResNet."""
    tiny = _text(4096, 32, 128, 4)
    yield _model("tiny-vit-64", _vit(64, 8, 192, 6), tiny, 128)
    yield _model("tiny-rn-64", _resnet(64, 16, (1, 2, 2, 1), 128), tiny, 128)
    yield _model("small-rn-64", _resnet(64, 32, (1, 2, 2, 1), 256), tiny, 256)
    small = _text(8192, 48, 256, 6)
    yield _model("small-vit-112", _vit(112, 16, 256, 8), small, 256)
    yield _model("small-rn-128", _resnet(128, 32, (2, 2, 3, 2), 256), small, 256)
    base = _text(16384, 64, 256, 6)
    yield _model("small-vit-224", _vit(224, 16, 320, 10), base, 256)
    yield _model("small-rn-224", _resnet(224, 40, (2, 3, 4, 2), 256), base, 256)


def _model(name: str, image: ImageConfig, text: TextTransformerConfig, embed_dim: int) -> ZooModel:
    return ZooModel(
        name=name,
        architecture=ClipConfig(image=image, text=text, embed_dim=embed_dim),
        preprocessing=dataclasses.replace(presets.OPENAI, size=image.image_size),
        tokenizer="clip",
    )
