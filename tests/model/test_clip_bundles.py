"""A bundle's model.safetensors holds towers of the CLIP family, and names the layer at fault."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_twins import pictures, sentences, shuffled, twin
from safetensors.torch import save_file
from torch import Tensor

from wordsight.errors import BundleError
from wordsight.model import architecture
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.clip import Clip, ProjectedTower, build_clip, expected_shapes
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.two_tower import describe, load_towers, save_towers

RESNET = ModifiedResNetConfig(
    image_size=64, depths=(1, 1, 1, 1), width=8, num_heads=4, output_width=48
)
NAMES = ["ViT-B-32", "ViT-B-16-SigLIP", "ResNet"]


def model(name: str) -> Clip:
    config = twin("ViT-B-32" if name == "ResNet" else name)
    if name == "ResNet":
        config = replace(config, image=RESNET)
    clip = shuffled(Clip(config))
    assert isinstance(clip, Clip)
    return clip


def description(clip: Clip) -> dict[str, Any]:
    return {
        "image": architecture.describe(clip.config.image),
        "text": architecture.describe(clip.config.text),
    }


@pytest.mark.parametrize("name", NAMES)
def test_towers_are_saved_and_loaded_bit_by_bit(name: str, tmp_path: Path):
    clip = model(name)
    path = tmp_path / "model.safetensors"
    path.write_bytes(save_towers(clip.image, clip.text))
    assert description(clip) == {
        "image": describe(clip.image.tower),
        "text": describe(clip.text.tower),
    }
    image, text = load_towers(path, description(clip))
    for side, mine, loaded in (("image", clip.image, image), ("text", clip.text, text)):
        assert isinstance(loaded, ProjectedTower)
        assert not loaded.training
        assert loaded.state_dict().keys() == mine.state_dict().keys(), side
        assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in mine.state_dict().items())
    pixels, tokens = pictures(clip.config), sentences(clip.config)
    with torch.no_grad():
        said = clip(pixels, tokens)
        assert torch.equal(image(pixels)["embedding"], said.images)
        assert torch.equal(text(tokens)["embedding"], said.texts)
        assert torch.equal(text(tokens)["features"], clip.text(tokens)["features"])


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_models_state_is_a_bundles_file(name: str, tmp_path: Path):
    """With the scale and the bias beside the towers, as converted bundles have them."""
    clip = model(name)
    path = tmp_path / "model.safetensors"
    save_file({k: v.contiguous() for k, v in clip.state_dict().items()}, path)
    image, text = load_towers(path, description(clip))
    pixels, tokens = pictures(clip.config), sentences(clip.config)
    with torch.no_grad():
        said = clip(pixels, tokens)
        assert torch.equal(image(pixels)["embedding"], said.images)
        assert torch.equal(text(tokens)["embedding"], said.texts)


@pytest.mark.parametrize(
    "name",
    [
        "image.tower.blocks.1.attention.qkv.weight",
        "image.tower.class_embedding",
        "text.tower.position_embedding",
        "text.tower.token_embedding.weight",
    ],
)
def test_a_layer_that_is_missing_too_many_or_of_another_shape_is_named(name: str, tmp_path: Path):
    clip, path = model("ViT-B-32"), tmp_path / "model.safetensors"
    good = dict(clip.state_dict())
    short, shape = name.split(".", 1)[1], tuple(good[name].shape)
    longer = torch.cat([good[name], good[name][:1]])
    cases: dict[str, dict[str, Tensor]] = {
        f"layer '{short}' is missing": {k: v for k, v in good.items() if k != name},
        f"layer '{short}' has shape {tuple(longer.shape)}, expected {shape}": {
            **good,
            name: longer,
        },
        f"layer '{short}.more' is not part": {**good, f"{name}.more": torch.zeros(1)},
        "layer 'logit_scales' is not part": {**good, "logit_scales": torch.zeros(1)},
    }
    for message, weights in cases.items():
        save_file(weights, path)
        with pytest.raises(BundleError) as caught:
            load_towers(path, description(clip))
        assert str(path) in str(caught.value)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("side", "wrong", "message"),
    [
        ("image", {"width": 100, "num_heads": 3}, "width 100 does not divide into 3 heads"),
        ("image", {"pooling": "mean"}, "'mean' is not allowed"),
        ("image", {"kind": "vision-transfomer"}, "unknown tower 'vision-transfomer'"),
        ("text", {"depth": 10**9}, "depth must be 1 to 256"),
        ("text", {"heads": 3}, "unknown key 'heads'"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(
    side: str, wrong: dict[str, Any], message: str, tmp_path: Path
):
    clip, path = model("ViT-B-32"), tmp_path / "model.safetensors"
    path.write_bytes(save_towers(clip.image, clip.text))
    told = description(clip)
    told[side] |= wrong
    with pytest.raises(BundleError, match=f"cannot be built: .*{message}"):
        load_towers(path, told)


def test_an_architecture_of_another_size_names_the_first_layer(tmp_path: Path):
    clip, path = model("ViT-B-32"), tmp_path / "model.safetensors"
    path.write_bytes(save_towers(clip.image, clip.text))
    told = description(clip)
    told["image"]["image_size"] = 224
    with pytest.raises(BundleError, match=r"'tower\.position_embedding' has shape \(10, 128\)"):
        load_towers(path, told)


def test_weights_in_half_precision_are_computed_with_in_float32(tmp_path: Path):
    clip, path = model("ResNet"), tmp_path / "model.safetensors"
    half = {k: v.half() if v.is_floating_point() else v for k, v in clip.state_dict().items()}
    save_file(half, path)
    for tower in load_towers(path, description(clip)):
        kinds = {value.dtype for value in tower.state_dict().values()}
        assert kinds <= {torch.float32, torch.int64}
        assert {value.dtype for value in tower.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["ViT-B-32", "ResNet"])
def test_heads_learnt_on_frozen_towers_are_found_by_their_keys(name: str, tmp_path: Path):
    clip, path = model(name), tmp_path / "model.safetensors"
    image = ProjectedTower(clip.image.tower, ImageHead(clip.config.image_width, 0, 8).eval())
    text = ProjectedTower(clip.text.tower, TextHead(clip.config.text.width, 8).eval())
    path.write_bytes(save_towers(image, text))
    loaded = load_towers(path, description(clip))
    assert isinstance(loaded[0].head, ImageHead)
    assert isinstance(loaded[1].head, TextHead)
    pixels, tokens = pictures(clip.config), sentences(clip.config)
    with torch.no_grad():
        assert torch.equal(loaded[0](pixels)["embedding"], image(pixels)["embedding"])
        assert torch.equal(loaded[1](tokens)["embedding"], text(tokens)["embedding"])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_built_around_its_weights_without_a_copy(name: str):
    clip = model(name)
    weights = clip.state_dict()
    asked: list[str] = []

    class Once(dict[str, Tensor]):
        def __getitem__(self, key: str) -> Tensor:
            asked.append(key)
            return super().__getitem__(key)

    built = build_clip(clip.config, Once(weights))
    assert sorted(asked) == sorted(weights)
    for key, value in built.state_dict().items():
        assert value.data_ptr() == weights[key].data_ptr()
    assert all(parameter.requires_grad for parameter in built.parameters())
    assert not built.training
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    assert {p.dtype for p in build_clip(clip.config, half).parameters()} == {torch.float32}


def test_a_model_is_not_built_from_weights_that_do_not_fit():
    clip = model("ViT-B-32")
    weights = dict(clip.state_dict())
    name = "text.head.linear.weight"
    cases = {
        f"layer '{name}' is missing": {k: v for k, v in weights.items() if k != name},
        f"layer '{name}' has shape": weights | {name: weights[name].mT},
        "layer 'logit_bias' is not part": weights | {"logit_bias": torch.zeros(())},
    }
    for message, wrong in cases.items():
        with pytest.raises(BundleError, match=message):
            build_clip(clip.config, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_expected_shapes_are_those_of_the_model(name: str):
    clip = model(name)
    shapes = {key: tuple(value.shape) for key, value in clip.state_dict().items()}
    assert expected_shapes(clip.config) == shapes
    heads = {key for key in shapes if ".head." in key or "logit" in key}
    expected = {
        "ViT-B-32": {"image.head.linear.weight", "text.head.linear.weight", "logit_scale"},
        "ViT-B-16-SigLIP": {
            "text.head.linear.weight",
            "text.head.linear.bias",
            "logit_scale",
            "logit_bias",
        },
        "ResNet": {"text.head.linear.weight", "logit_scale"},
    }
    assert heads == expected[name]
