"""Our CLIP and SigLIP are open_clip's and transformers': same weights, numbers and slopes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import clip_twins
import pytest
import torch
from clip_twins import CLIP_SHAPES, END, SIGLIP_SHAPES, pictures, sentences, twin
from foreign_weights import (
    from_open_clip,
    from_open_clip_siglip,
    from_transformers,
    from_transformers_siglip,
)
from torch import Tensor

from wordsight.model.architecture import (
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
)
from wordsight.model.clip import Clip, build_clip, expected_shapes

NAMES = [*CLIP_SHAPES, *SIGLIP_SHAPES]
Table = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def by_open_clip(model: Any, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    images = model.encode_image(pixels, normalize=True)
    texts = model.encode_text(tokens, normalize=True)
    logits = model.logit_scale.exp() * images @ texts.T
    return images, texts, logits if model.logit_bias is None else logits + model.logit_bias


def by_transformers(model: Any, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    said = model(pixel_values=pixels, input_ids=tokens)
    return said.image_embeds, said.text_embeds, said.logits_per_image


def library(config: ClipConfig, name: str) -> tuple[Any, Any, Table]:
    if name == "open_clip":
        table = from_open_clip_siglip if config.is_siglip else from_open_clip
        return clip_twins.of_open_clip(config), by_open_clip, table
    table = from_transformers_siglip if config.is_siglip else from_transformers
    return clip_twins.of_transformers(config), by_transformers, table


def ours_of(config: ClipConfig, weights: Mapping[str, Tensor]) -> Clip:
    """Our model with a copy of the weights, so that gradients do not mix."""
    return build_clip(config, {name: value.detach().clone() for name, value in weights.items()})


@pytest.mark.parametrize("home", ["open_clip", "transformers"])
@pytest.mark.parametrize("name", NAMES)
def test_embeddings_and_gradients_are_those_of_the_home_library(name: str, home: str):
    config = twin(name)
    theirs, run, table = library(config, home)
    ours = ours_of(config, table(theirs.state_dict()))
    pixels, tokens = pictures(config), sentences(config)
    expected, found = run(theirs, pixels, tokens), ours(pixels, tokens)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    for part in found:
        assert float(part.detach().std(dim=0).mean()) > 1e-3, "all rows are the same"

    generator = torch.Generator().manual_seed(5)
    targets = [torch.randn(part.shape, generator=generator) for part in found]
    for parts in (found, expected):
        sum((part * target).sum() for part, target in zip(parts, targets, strict=True)).backward()
    slopes = {key: value.grad for key, value in theirs.named_parameters()}
    assert all(slope is not None for slope in slopes.values())
    slopes = table(slopes)
    assert slopes.keys() == dict(ours.named_parameters()).keys()
    for key, parameter in ours.named_parameters():
        scale = float(slopes[key].abs().max())
        assert scale > 0, key
        error = float((parameter.grad - slopes[key]).abs().max())
        assert error <= 1e-4 * scale, f"{key}: {error / scale:.1e}"


def test_vit_b_32_at_its_true_shape_is_open_clips():
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    theirs = open_clip.create_model("ViT-B-32-quickgelu", load_weights=False).eval()
    config = ClipConfig(
        image=VisionTransformerConfig(), text=TextTransformerConfig(), embed_dim=512
    )
    ours = build_clip(config, from_open_clip(theirs.state_dict()))
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    tokens = open_clip.tokenize(["a photo of a cat", "two dogs on a beach, one of them wet"])
    with torch.no_grad():
        for one, two in zip(
            ours(pixels, tokens), by_open_clip(theirs, pixels, tokens), strict=True
        ):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("end_id", [2, END])
def test_the_first_end_token_is_what_transformers_reads(end_id: int):
    """With the end id 2 of old files transformers looks for the largest id instead."""
    config = twin("ViT-B-32")
    if end_id != 2:
        config = replace(config, text=replace(config.text, pooling="end", end_id=end_id))
    theirs = clip_twins.of_transformers(config, end_id=end_id)
    ours = build_clip(config, from_transformers(theirs.state_dict()))
    tokens = sentences(config)
    tokens[1, 3:] = (
        END  # padded with the end token, as the text towers of some diffusion models are
    )
    tokens[2, 2] = 2
    with torch.no_grad():
        expected = by_transformers(theirs, pictures(config), tokens)[1]
        found = ours.text(tokens)["embedding"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


# the whole model, its image side, tensors: PAPER.md, section 1.3
TRUE_SHAPES = {
    "ViT-B/32": (151_277_313, 87_849_216, 302),
    "ViT-B/16": (149_620_737, 86_192_640, 302),
    "ViT-L/14": (427_616_513, 303_966_208, 446),
    "ViT-L/14@336": (427_944_193, 304_293_888, 446),
}


@pytest.mark.parametrize("name", TRUE_SHAPES)
def test_parameters_are_those_of_the_paper_to_the_digit(name: str):
    is_large = name.startswith("ViT-L")
    image = VisionTransformerConfig(patch_size=int(name.split("/")[1].split("@")[0]))
    text, embed_dim = TextTransformerConfig(), 512
    if is_large:
        image = VisionTransformerConfig(
            image_size=336 if "@" in name else 224,
            patch_size=14,
            width=1024,
            depth=24,
            num_heads=16,
            mlp_width=4096,
        )
        text, embed_dim = TextTransformerConfig(width=768, num_heads=12, mlp_width=3072), 768
    shapes = expected_shapes(ClipConfig(image=image, text=text, embed_dim=embed_dim))
    count = {key: math.prod(shape) for key, shape in shapes.items()}
    visual = sum(number for key, number in count.items() if key.startswith("image."))
    assert (sum(count.values()), visual, len(count)) == TRUE_SHAPES[name]


@pytest.mark.parametrize("name", ["ViT-H-14", "ViT-g-14", "ViT-bigG-14"])
def test_the_giants_have_open_clips_shapes(name: str):
    open_clip = pytest.importorskip("open_clip")
    settings = open_clip.get_model_config(name)
    vision, words = settings["vision_cfg"], settings["text_cfg"]
    image = VisionTransformerConfig(
        patch_size=14,
        width=vision["width"],
        depth=vision["layers"],
        num_heads=vision["width"] // vision["head_width"],
        mlp_width=int(vision["width"] * vision.get("mlp_ratio", 4)),
    )
    text = TextTransformerConfig(
        width=words["width"],
        depth=words["layers"],
        num_heads=words["heads"],
        mlp_width=4 * words["width"],
    )
    config = ClipConfig(image=image, text=text, embed_dim=settings["embed_dim"])
    with torch.device("meta"):
        theirs = open_clip.CLIP(**settings)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    expected = from_open_clip({key: torch.empty(s, device="meta") for key, s in shapes.items()})
    assert {key: tuple(value.shape) for key, value in expected.items()} == expected_shapes(config)


SIGLIP_CHANNELS = {
    "ViT-B-16-SigLIP": (16, 224, 768, 12, 12, 3072),
    "ViT-B-16-SigLIP2-512": (16, 512, 768, 12, 12, 3072),
    "ViT-L-16-SigLIP-384": (16, 384, 1024, 24, 16, 4096),
    "ViT-SO400M-14-SigLIP-384": (14, 384, 1152, 27, 16, 4304),
    "ViT-SO400M-16-SigLIP2-256": (16, 256, 1152, 27, 16, 4304),
}


@pytest.mark.parametrize("name", SIGLIP_CHANNELS)
def test_siglips_have_open_clips_shapes(name: str):
    open_clip = pytest.importorskip("open_clip")
    patch, side, width, depth, heads, mlp = SIGLIP_CHANNELS[name]
    same = {"width": width, "depth": depth, "num_heads": heads, "mlp_width": mlp}
    settings = open_clip.get_model_config(name)
    del settings["custom_text"]
    config = ClipConfig(
        image=VisionTransformerConfig(
            image_size=side, patch_size=patch, pooling="attention", norm_eps=1e-6, **same
        ),
        text=TextTransformerConfig(
            vocab_size=settings["text_cfg"]["vocab_size"],
            context_length=64,
            is_causal=False,
            pooling="last",
            **same,
        ),
        embed_dim=width,
        has_text_bias=True,
        has_logit_bias=True,
    )
    with torch.device("meta"):
        theirs = open_clip.CustomTextCLIP(**settings)
    expected = from_open_clip_siglip(theirs.state_dict())
    assert {key: tuple(value.shape) for key, value in expected.items()} == expected_shapes(config)
