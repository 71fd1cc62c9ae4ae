"""The nine models of the CLIP paper and the larger ones of open_clip.

Names are open_clip's. OpenAI's own nine are those that end in "-quickgelu"; the plain ones have
the exact GELU that others have trained them with.
"""

import dataclasses
from collections.abc import Generator, Mapping

from wordsight.images import presets
from wordsight.model.architecture import (
    Activation,
    ClipConfig,
    ImageConfig,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.zoo.entry import PublicWeights, ZooModel

PAPER = "Radford et al., 2021, arXiv 2103.00020"
SCALING = "Cherti et al., 2022, arXiv 2212.07143"
FILTERED = "Fang et al., 2023, arXiv 2309.17425"
GIANT = "Wortsman, 2023, laion.ai/blog/giant-openclip"
HEAD_WIDTH = 64
TWIN = "-quickgelu"


def _resnet(
    size: int, width: int, embed_dim: int, depths: tuple[int, int, int, int]
) -> ModifiedResNetConfig:
    heads = 32 * width // HEAD_WIDTH
    return ModifiedResNetConfig(
        image_size=size, depths=depths, width=width, num_heads=heads, output_width=embed_dim
    )


def _vit(
    size: int, patch: int, width: int, depth: int, heads: int, mlp: int
) -> VisionTransformerConfig:
    return VisionTransformerConfig(
        image_size=size,
        patch_size=patch,
        width=width,
        depth=depth,
        num_heads=heads,
        mlp_width=mlp,
        activation="gelu",
    )


def _text(width: int, depth: int = 12) -> TextTransformerConfig:
    heads = width // HEAD_WIDTH
    return TextTransformerConfig(
        width=width, depth=depth, num_heads=heads, mlp_width=4 * width, activation="gelu"
    )


# (image tower, text tower, width of the joint space, paper); table 19 and 20 of the paper
_Shape = tuple[ImageConfig, TextTransformerConfig, int, str]
SHAPES: Mapping[str, _Shape] = {
    "RN50": (_resnet(224, 64, 1024, (3, 4, 6, 3)), _text(512), 1024, PAPER),
    "RN101": (_resnet(224, 64, 512, (3, 4, 23, 3)), _text(512), 512, PAPER),
    "RN50x4": (_resnet(288, 80, 640, (4, 6, 10, 6)), _text(640), 640, PAPER),
    "RN50x16": (_resnet(384, 96, 768, (6, 8, 18, 8)), _text(768), 768, PAPER),
    "RN50x64": (_resnet(448, 128, 1024, (3, 15, 36, 10)), _text(1024), 1024, PAPER),
    "ViT-B-32": (_vit(224, 32, 768, 12, 12, 3072), _text(512), 512, PAPER),
    "ViT-B-16": (_vit(224, 16, 768, 12, 12, 3072), _text(512), 512, PAPER),
    "ViT-L-14": (_vit(224, 14, 1024, 24, 16, 4096), _text(768), 768, PAPER),
    "ViT-L-14-336": (_vit(336, 14, 1024, 24, 16, 4096), _text(768), 768, PAPER),
    "ViT-H-14": (_vit(224, 14, 1280, 32, 16, 5120), _text(1024, 24), 1024, SCALING),
    "ViT-H-14-378": (_vit(378, 14, 1280, 32, 16, 5120), _text(1024, 24), 1024, FILTERED),
    "ViT-g-14": (_vit(224, 14, 1408, 40, 16, 6144), _text(1024, 24), 1024, SCALING),
    "ViT-bigG-14": (_vit(224, 14, 1664, 48, 16, 8192), _text(1280, 32), 1280, GIANT),
}
WITHOUT_TWIN = ("ViT-g-14",)
"""Nobody has trained it with QuickGELU."""


def _openai(*repositories: str) -> tuple[PublicWeights, ...]:
    return tuple(PublicWeights(name) for name in repositories)  # their cards state no licence


def _laion(*names: str) -> tuple[PublicWeights, ...]:
    return tuple(PublicWeights(f"laion/CLIP-{name}", "MIT") for name in names)


def _metaclip(*names: str) -> tuple[PublicWeights, ...]:
    return tuple(PublicWeights(f"facebook/metaclip-{name}", "CC-BY-NC-4.0") for name in names)


def _apple(*names: str) -> tuple[PublicWeights, ...]:
    return tuple(PublicWeights(f"apple/{name}") for name in names)  # a licence of Apple's own


PUBLIC: Mapping[str, tuple[PublicWeights, ...]] = {
    "RN50-quickgelu": _openai("timm/resnet50_clip.openai"),
    "RN101-quickgelu": _openai("timm/resnet101_clip.openai"),
    "RN50x4-quickgelu": _openai("timm/resnet50x4_clip.openai"),
    "RN50x16-quickgelu": _openai("timm/resnet50x16_clip.openai"),
    "RN50x64-quickgelu": _openai("timm/resnet50x64_clip.openai"),
    "ViT-B-32-quickgelu": _openai(
        "openai/clip-vit-base-patch32", "timm/vit_base_patch32_clip_224.openai"
    )
    + _metaclip("b32-400m", "b32-fullcc2.5b"),
    "ViT-B-32": _laion("ViT-B-32-laion2B-s34B-b79K", "ViT-B-32-DataComp.XL-s13B-b90K"),
    "ViT-B-16-quickgelu": _openai(
        "openai/clip-vit-base-patch16", "timm/vit_base_patch16_clip_224.openai"
    )
    + _metaclip("b16-400m", "b16-fullcc2.5b")
    + _apple("DFN2B-CLIP-ViT-B-16"),
    "ViT-B-16": _laion("ViT-B-16-laion2B-s34B-b88K", "ViT-B-16-DataComp.XL-s13B-b90K"),
    "ViT-L-14-quickgelu": _openai(
        "openai/clip-vit-large-patch14", "timm/vit_large_patch14_clip_224.openai"
    )
    + _metaclip("l14-400m", "l14-fullcc2.5b")
    + _apple("DFN2B-CLIP-ViT-L-14"),
    "ViT-L-14": _laion("ViT-L-14-laion2B-s32B-b82K", "ViT-L-14-DataComp.XL-s13B-b90K")
    + _apple("DFN2B-CLIP-ViT-L-14-39B"),
    "ViT-L-14-336-quickgelu": _openai(
        "openai/clip-vit-large-patch14-336", "timm/vit_large_patch14_clip_336.openai"
    ),
    "ViT-H-14": _laion("ViT-H-14-laion2B-s32B-b79K"),
    "ViT-H-14-quickgelu": _metaclip("h14-fullcc2.5b") + _apple("DFN5B-CLIP-ViT-H-14"),
    "ViT-H-14-378-quickgelu": _apple("DFN5B-CLIP-ViT-H-14-378"),
    "ViT-g-14": _laion("ViT-g-14-laion2B-s34B-b88K", "ViT-g-14-laion2B-s12B-b42K"),
    "ViT-bigG-14": _laion("ViT-bigG-14-laion2B-39B-b160k"),
    "ViT-bigG-14-quickgelu": (
        PublicWeights("timm/vit_gigantic_patch14_clip_224.metaclip_2pt5b", "CC-BY-NC-4.0"),
    ),
}


def clip_models() -> Generator[ZooModel]:
    """Yield every model, and after it the one with QuickGELU."""
    for name, shape in SHAPES.items():
        yield _model(name, "gelu", shape)
        if name not in WITHOUT_TWIN:
            yield _model(name + TWIN, "quick_gelu", shape)


def _model(name: str, activation: Activation, shape: _Shape) -> ZooModel:
    image, text, embed_dim, paper = shape
    if isinstance(image, VisionTransformerConfig):  # a ResNet has ReLU whatever the text has
        image = dataclasses.replace(image, activation=activation)
    text = dataclasses.replace(text, activation=activation)
    return ZooModel(
        name=name,
        architecture=ClipConfig(image=image, text=text, embed_dim=embed_dim),
        preprocessing=dataclasses.replace(presets.OPENAI, size=image.image_size),
        tokenizer="clip",
        paper=paper,
        open_clip=name,
        public=PUBLIC.get(name, ()),
    )
