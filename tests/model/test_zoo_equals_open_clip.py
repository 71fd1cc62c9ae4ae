"""Every architecture of the zoo is the one open_clip builds under that name, to the digit."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("open_clip")

from open_clip.factory import get_model_config
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.pretrained import _PRETRAINED  # pyright: ignore[reportPrivateUsage]
from open_clip.transformer import QuickGELU

from wordsight.errors import InputError
from wordsight.model import zoo
from wordsight.model.architecture import (
    MAX_DEPTH,
    ModifiedResNetConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
    describe,
    read_description,
)
from wordsight.model.clip import expected_shapes
from wordsight.model.size import measure

PUBLISHED = [model for model in zoo.models() if model.open_clip]
OWN = [model for model in zoo.models() if not model.open_clip]

# PAPER.md, section 1.3: parameters of all, of the image tower with its projection; tensors
PAPER: Mapping[str, tuple[int, int, int]] = {
    "RN50": (102_007_137, 38_316_896, 489),
    "RN101": (119_688_033, 56_259_936, 795),
    "RN50x4": (178_300_601, 87_137_080, 669),
    "RN50x16": (290_979_217, 167_328_912, 921),
    "RN50x64": (623_258_305, 420_380_352, 1353),
    "ViT-B-32": (151_277_313, 87_849_216, 302),
    "ViT-B-16": (149_620_737, 86_192_640, 302),
    "ViT-L-14": (427_616_513, 303_966_208, 446),
    "ViT-L-14-336": (427_944_193, 304_293_888, 446),
}


def by_name(model: zoo.ZooModel) -> str:
    return model.name


def build(name: str) -> tuple[Any, dict[str, Any]]:
    """open_clip's model without memory for its weights, and its configuration."""
    config = get_model_config(name)
    settings = {key: value for key, value in config.items() if key != "custom_text"}
    with torch.device("meta"):
        return (CustomTextCLIP if config.get("custom_text") else CLIP)(**settings), config


def activation_name(layer: nn.Module) -> str:
    if isinstance(layer, QuickGELU):
        return "quick_gelu"
    is_tanh = getattr(layer, "approximate", "none") == "tanh" or "Tanh" in type(layer).__name__
    return "gelu_tanh" if is_tanh else "gelu"


def check_text(text: TextTransformerConfig, theirs: Any, settings: Mapping[str, Any]) -> None:
    tower = getattr(theirs, "text", theirs)
    block = tower.transformer.resblocks[0]
    assert text.vocab_size == tower.token_embedding.num_embeddings
    assert (text.context_length, text.width) == tuple(tower.positional_embedding.shape)
    assert text.depth == len(tower.transformer.resblocks)
    assert text.num_heads == block.attn.num_heads
    assert text.mlp_width == block.mlp.c_fc.out_features
    assert text.activation == activation_name(block.mlp.gelu)
    assert text.norm_eps == tower.ln_final.eps == block.ln_1.eps
    assert text.is_causal == (not settings.get("no_causal_mask", False))
    assert text.pooling == settings.get("pool_type", "argmax")


def check_open_clip_vit(image: VisionTransformerConfig, visual: Any) -> None:
    block = visual.transformer.resblocks[0]
    assert image.pooling == "class_token"
    assert (image.width, 3, image.patch_size, image.patch_size) == tuple(visual.conv1.weight.shape)
    assert (image.num_positions, image.width) == tuple(visual.positional_embedding.shape)
    assert image.depth == len(visual.transformer.resblocks)
    assert image.num_heads == block.attn.num_heads
    assert image.mlp_width == block.mlp.c_fc.out_features
    assert image.activation == activation_name(block.mlp.gelu)
    assert image.norm_eps == block.ln_1.eps


def check_timm_vit(image: VisionTransformerConfig, trunk: Any) -> None:
    block = trunk.blocks[0]
    assert image.pooling == "attention"
    assert (image.width, 3, image.patch_size, image.patch_size) == tuple(
        trunk.patch_embed.proj.weight.shape
    )
    assert (1, image.num_positions, image.width) == tuple(trunk.pos_embed.shape)
    assert image.depth == len(trunk.blocks)
    assert image.num_heads == block.attn.num_heads == trunk.attn_pool.num_heads
    assert image.mlp_width == block.mlp.fc1.out_features == trunk.attn_pool.mlp.fc1.out_features
    assert image.activation == activation_name(block.mlp.act)
    assert image.activation == activation_name(trunk.attn_pool.mlp.act)
    assert image.norm_eps == block.norm1.eps == trunk.norm.eps == trunk.attn_pool.norm.eps


def check_resnet(image: ModifiedResNetConfig, visual: Any) -> None:
    stages = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)
    assert image.depths == tuple(map(len, stages))
    assert image.width == visual.conv3.out_channels
    assert image.num_heads == visual.attnpool.num_heads
    assert (image.num_positions, image.feature_width) == tuple(
        visual.attnpool.positional_embedding.shape
    )
    assert image.output_width == visual.attnpool.c_proj.out_features


@pytest.mark.parametrize("model", PUBLISHED, ids=by_name)
def test_an_architecture_is_the_one_open_clip_builds(model: zoo.ZooModel):
    theirs, settings = build(model.open_clip)
    image, ours = model.architecture.image, model.architecture
    assert image.image_size == settings["vision_cfg"]["image_size"]
    assert ours.embed_dim == settings["embed_dim"]
    if isinstance(image, ModifiedResNetConfig):
        check_resnet(image, theirs.visual)
    elif hasattr(theirs.visual, "trunk"):
        check_timm_vit(image, theirs.visual.trunk)
    else:
        check_open_clip_vit(image, theirs.visual)
    check_text(ours.text, theirs, settings["text_cfg"])
    assert ours.has_logit_bias == ("init_logit_bias" in settings)
    assert ours.has_text_bias == settings["text_cfg"].get("proj_bias", False)
    vocabulary = settings["text_cfg"].get("hf_tokenizer_name", "clip")
    expected = "siglip2" if "SigLIP2" in vocabulary else "siglip"
    assert model.tokenizer == ("clip" if vocabulary == "clip" else expected)

    size = measure(ours)
    assert size.num_parameters == sum(p.numel() for p in theirs.parameters())
    assert size.image.parameters == sum(p.numel() for p in theirs.visual.parameters())
    shapes = expected_shapes(ours)
    learnt = {name: shape for name, shape in shapes.items() if not is_statistic(name)}
    assert sum(map(count, learnt.values())) == size.num_parameters
    for side, cost in (("image.", size.image), ("text.", size.text)):
        parts = (count(shape) for name, shape in learnt.items() if name.startswith(side))
        assert sum(parts) == cost.parameters
    if not ours.is_siglip:  # timm keeps query and key-value of the attention pooling apart
        assert len(shapes) == len(theirs.state_dict())


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def count(shape: tuple[int, ...]) -> int:
    numbers = 1
    for length in shape:
        numbers *= length
    return numbers


@pytest.mark.parametrize("twin", ["", "-quickgelu"])
@pytest.mark.parametrize("name", PAPER)
def test_the_nine_of_the_paper_have_its_counts(name: str, twin: str):
    architecture = zoo.find(name + twin).architecture
    size = measure(architecture)
    found = (size.num_parameters, size.image.parameters, len(expected_shapes(architecture)))
    assert found == PAPER[name]


def test_the_zoo_has_every_clip_of_open_clip_that_the_issue_names():
    import open_clip

    missing = {
        name
        for name in open_clip.list_models()
        if name.startswith(("RN", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14", "ViT-g", "ViT-b"))
        or "SigLIP" in name
    } - set(zoo.names())
    rest = [name for name in missing if "CLIPA" not in name and "worldwide" not in name]
    assert sorted(rest) == [
        "ViT-B-16-plus",
        "ViT-B-16-plus-240",
        "ViT-B-32-256",
        "ViT-B-32-plus-256",
        "ViT-L-14-280",
        "ViT-SO400M-16-SigLIP-i18n-256",  # has no text projection, which our towers always have
    ]


@pytest.mark.parametrize("model", PUBLISHED, ids=by_name)
def test_public_weights_are_of_that_architecture_according_to_open_clip(model: zoo.ZooModel):
    homes: dict[str, set[tuple[str, bool]]] = {}
    for name, tags in _PRETRAINED.items():
        for tag in tags.values():
            home = (name.removesuffix("-quickgelu"), bool(tag.get("quick_gelu")))
            homes.setdefault(tag.get("hf_hub", "").strip("/"), set()).add(home)
    own_home = model.open_clip.removesuffix("-quickgelu"), model.name.endswith("-quickgelu")
    for public in model.public:
        owner, _, _ = public.repository.partition("/")
        if owner in ("openai", "facebook", "google"):  # of transformers: open_clip has no table
            assert public.repository not in homes
        else:
            assert own_home in homes[public.repository], public.repository


@pytest.mark.parametrize("model", PUBLISHED, ids=by_name)
def test_preprocessing_is_that_of_the_weights_of_the_paper(model: zoo.ZooModel):
    tags = _PRETRAINED.get(model.open_clip, {})
    tag = tags.get("openai") or tags.get("webli")
    found = model.preprocessing
    assert found.size == model.architecture.image.image_size
    if tag is not None:
        assert found.mean == tuple(tag["mean"])
        assert found.std == tuple(tag["std"])
        assert found.interpolation == tag["interpolation"]
        assert found.resize == tag["resize_mode"]


def test_names_are_unique_and_in_the_order_of_the_models():
    assert len(set(map(str.lower, zoo.names()))) == len(zoo.names()) == len(zoo.models())
    assert [zoo.find(name).name for name in zoo.names()] == list(zoo.names())
    repositories = [public.repository for model in zoo.models() for public in model.public]
    twice = {name for name in repositories if repositories.count(name) > 1}
    assert twice == {"timm/ViT-SO400M-14-SigLIP-384"}  # 378 and 384 pixels: the same grid


@pytest.mark.parametrize("model", zoo.models(), ids=by_name)
def test_every_architecture_can_be_stored_beside_its_weights(model: zoo.ZooModel):
    for tower in (model.architecture.image, model.architecture.text):
        assert read_description(describe(tower), where="test") == tower
        assert "depths" in describe(tower) or tower.depth <= MAX_DEPTH
    assert model.vocabulary_size == model.architecture.text.vocab_size
    assert model.hugging_face == (model.public[0].repository if model.public else "")


@pytest.mark.parametrize("model", OWN, ids=by_name)
def test_our_own_models_are_small_enough_for_a_cpu(model: zoo.ZooModel):
    size, architecture = measure(model.architecture), model.architecture
    assert 1e6 < size.image.parameters < size.num_parameters < 30e6
    assert size.image.operations < 6e9
    assert 64 <= architecture.image.image_size <= 224
    assert architecture.image.image_size == model.preprocessing.size
    assert not model.public


@given(st.text(max_size=40))
@example("vit-b-32")
@example("")
def test_another_name_is_refused_with_the_nearest_one(name: str):
    if name.lower() in map(str.lower, zoo.names()):
        assert zoo.find(name).name.lower() == name.lower()
        return
    with pytest.raises(InputError, match="not the name of a known architecture") as caught:
        zoo.find(name)
    assert any(repr(known) in caught.value.hint for known in zoo.names())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("ViT-B/32", "ViT-B-32"), ("vitl14", "ViT-L-14"), ("RN50x65", "RN50x64")],
)
def test_a_slip_of_the_pen_is_understood(name: str, nearest: str):
    with pytest.raises(InputError) as caught:
        zoo.find(name)
    assert f"did you mean {nearest!r}" in caught.value.hint


def test_looking_up_a_model_needs_no_torch():
    program = """
import sys
from wordsight.commands.models import list_models
from wordsight.model.size import measure
from wordsight.model.zoo import find
assert measure(find("RN50").architecture).num_parameters == 102_007_137
assert list_models()
assert not {"torch", "open_clip", "transformers", "huggingface_hub"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
