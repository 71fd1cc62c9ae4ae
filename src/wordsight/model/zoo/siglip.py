"""SigLIP and SigLIP 2 as open_clip has them: no causal mask, attention pooling, biases.

They were trained with the tanh approximation of GELU, and transformers computes that everywhere.
open_clip, whose names these are, has the exact GELU in the text towers of SigLIP, and in every
vision tower but those of `TANH_TRUNKS`.
"""

import dataclasses
from collections.abc import Generator

from wordsight.images import presets
from wordsight.model.architecture import (
    Activation,
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.zoo.entry import PublicWeights, TokenizerFamily, ZooModel

PAPER = "Zhai et al., 2023, arXiv 2303.15343"
PAPER_2 = "Tschannen et al., 2025, arXiv 2502.14786"
NORM_EPS = 1e-6
LICENCE = "Apache-2.0"
ENGLISH, MULTILINGUAL, GEMMA = 32_000, 250_000, 256_000
"""Sizes of the vocabularies: C4 in English, mC4, and Gemma's."""

# width, depth, heads, width of the hidden layer
BASE = (768, 12, 12, 3072)
LARGE = (1024, 24, 16, 4096)
SO400M = (1152, 27, 16, 4304)
GIANT = (1536, 40, 16, 6144)
_Shape = tuple[int, int, int, int]

# name in open_clip after "ViT-", shape, patch, size, vocabulary, context, google's name
_Row = tuple[str, _Shape, int, int, int, int, str]
SIGLIP: tuple[_Row, ...] = (
    ("B-16-SigLIP", BASE, 16, 224, ENGLISH, 64, "base-patch16-224"),
    ("B-16-SigLIP-256", BASE, 16, 256, ENGLISH, 64, "base-patch16-256"),
    ("B-16-SigLIP-i18n-256", BASE, 16, 256, MULTILINGUAL, 64, "base-patch16-256-multilingual"),
    ("B-16-SigLIP-384", BASE, 16, 384, ENGLISH, 64, "base-patch16-384"),
    ("B-16-SigLIP-512", BASE, 16, 512, ENGLISH, 64, "base-patch16-512"),
    ("L-16-SigLIP-256", LARGE, 16, 256, ENGLISH, 64, "large-patch16-256"),
    ("L-16-SigLIP-384", LARGE, 16, 384, ENGLISH, 64, "large-patch16-384"),
    ("SO400M-14-SigLIP", SO400M, 14, 224, ENGLISH, 16, "so400m-patch14-224"),
    ("SO400M-14-SigLIP-378", SO400M, 14, 378, ENGLISH, 64, ""),
    ("SO400M-14-SigLIP-384", SO400M, 14, 384, ENGLISH, 64, "so400m-patch14-384"),
)
SIGLIP_2: tuple[_Row, ...] = (
    ("B-32-SigLIP2-256", BASE, 32, 256, GEMMA, 64, "base-patch32-256"),
    ("B-16-SigLIP2", BASE, 16, 224, GEMMA, 64, "base-patch16-224"),
    ("B-16-SigLIP2-256", BASE, 16, 256, GEMMA, 64, "base-patch16-256"),
    ("B-16-SigLIP2-384", BASE, 16, 384, GEMMA, 64, "base-patch16-384"),
    ("B-16-SigLIP2-512", BASE, 16, 512, GEMMA, 64, "base-patch16-512"),
    ("L-16-SigLIP2-256", LARGE, 16, 256, GEMMA, 64, "large-patch16-256"),
    ("L-16-SigLIP2-384", LARGE, 16, 384, GEMMA, 64, "large-patch16-384"),
    ("L-16-SigLIP2-512", LARGE, 16, 512, GEMMA, 64, "large-patch16-512"),
    ("SO400M-14-SigLIP2", SO400M, 14, 224, GEMMA, 64, "so400m-patch14-224"),
    ("SO400M-14-SigLIP2-378", SO400M, 14, 378, GEMMA, 64, ""),
    ("SO400M-16-SigLIP2-256", SO400M, 16, 256, GEMMA, 64, "so400m-patch16-256"),
    ("SO400M-16-SigLIP2-384", SO400M, 16, 384, GEMMA, 64, "so400m-patch16-384"),
    ("SO400M-16-SigLIP2-512", SO400M, 16, 512, GEMMA, 64, "so400m-patch16-512"),
    ("gopt-16-SigLIP2-256", GIANT, 16, 256, GEMMA, 64, "giant-opt-patch16-256"),
    ("gopt-16-SigLIP2-384", GIANT, 16, 384, GEMMA, 64, "giant-opt-patch16-384"),
)
TANH_TRUNKS = (
    *("B-32-SigLIP2-256", "L-16-SigLIP2-512", "gopt-16-SigLIP2-256", "gopt-16-SigLIP2-384"),
    *("SO400M-16-SigLIP2-256", "SO400M-16-SigLIP2-384", "SO400M-16-SigLIP2-512"),
)
"""Vision towers that timm was given together with SigLIP 2."""


def tanh_shapes() -> set[tuple[int, int, int]]:
    """Return width, patch and picture side of every vision tower of `TANH_TRUNKS`."""
    return {
        (width, patch, size)
        for name, (width, *_), patch, size, *_ in SIGLIP_2
        if name in TANH_TRUNKS
    }


def siglip_models() -> Generator[ZooModel]:
    """Yield SigLIP, then SigLIP 2."""
    for row in SIGLIP:
        yield _model(row, family="siglip", paper=PAPER)
    for row in SIGLIP_2:
        yield _model(row, family="siglip2", paper=PAPER_2)


def _model(row: _Row, *, family: TokenizerFamily, paper: str) -> ZooModel:
    name, shape, patch, size, vocabulary, context, google = row
    width, depth, heads, mlp = shape
    image = VisionTransformerConfig(
        image_size=size,
        patch_size=patch,
        width=width,
        depth=depth,
        num_heads=heads,
        mlp_width=mlp,
        activation="gelu_tanh" if name in TANH_TRUNKS else "gelu",
        norm_eps=NORM_EPS,
        pooling="attention",
    )
    text = _text(
        SO400M if shape == GIANT else shape,
        vocabulary=vocabulary,
        context=context,
        activation="gelu_tanh" if family == "siglip2" else "gelu",
    )
    # open_clip opens the weights for 384 px as a model for 378: both have 27 patches a side
    repositories = [f"timm/ViT-{name.replace('SigLIP-378', 'SigLIP-384')}"]
    if google:
        repositories.insert(0, f"google/{family}-{google}")
    return ZooModel(
        name=f"ViT-{name}",
        architecture=ClipConfig(
            image=image, text=text, embed_dim=width, has_text_bias=True, has_logit_bias=True
        ),
        preprocessing=dataclasses.replace(presets.SIGLIP, size=size),
        tokenizer=family,
        paper=paper,
        open_clip=f"ViT-{name}",
        public=tuple(PublicWeights(repository, LICENCE) for repository in repositories),
    )


def _text(
    shape: _Shape, *, vocabulary: int, context: int, activation: Activation
) -> TextTransformerConfig:
    width, depth, heads, mlp = shape
    return TextTransformerConfig(
        vocab_size=vocabulary,
        context_length=context,
        width=width,
        depth=depth,
        num_heads=heads,
        mlp_width=mlp,
        activation=activation,
        norm_eps=NORM_EPS,
        is_causal=False,
        pooling="last",
    )
