"""Position embeddings for other sizes: open_clip's, timm's and Long-CLIP's rules."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from clip_twins import END, START, TimmTower, of_open_clip, pictures, shuffled, twin, vision
from foreign_weights import from_open_clip, from_open_clip_siglip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.clip import Clip, build_clip
from wordsight.model.positions import NUM_KEPT, resize_positions, stretch_positions
from wordsight.model.resizing import resized, stretched
from wordsight.model.vision_transformer import VisionTransformer

grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    grids, grids, st.sampled_from(["bilinear", "bicubic"]), st.integers(0, 2), st.integers(0, 999)
)
def test_a_resized_grid_keeps_its_prefix_and_its_constants(
    old: Any, new: Any, mode: Any, prefix: int, seed: int
):
    cells = noise(prefix + old[0] * old[1], 4, seed=seed)
    found = resize_positions(cells, old, new, mode=mode, num_prefix=prefix)
    assert found.shape == (prefix + new[0] * new[1], 4)
    assert torch.equal(found[:prefix], cells[:prefix])
    flat = torch.cat([cells[:prefix], torch.full((old[0] * old[1], 4), 3.0)])
    same = resize_positions(flat, old, new, mode=mode, num_prefix=prefix)
    torch.testing.assert_close(same[prefix:], torch.full((new[0] * new[1], 4), 3.0))
    if old == new:
        assert torch.equal(found, cells)


def interpolated(old: int, new: int) -> NDArray[np.float64]:
    """Weights (new, old) of linear interpolation between the middles of cells, by definition."""
    weights = np.zeros((new, old))
    for target in range(new):
        place = min(max((target + 0.5) * old / new - 0.5, 0), old - 1)
        left = min(int(place), max(old - 2, 0))
        weights[target, left] += 1 - (place - left)
        if old > 1:
            weights[target, left + 1] += place - left
    return weights


@settings(max_examples=60, deadline=None)
@given(grids, grids, st.integers(0, 999))
def test_bilinear_is_linear_along_both_sides(old: Any, new: Any, seed: int):
    cells = noise(old[0] * old[1], 3, seed=seed)
    planes = cells.double().numpy().reshape(*old, 3)
    rows, columns = interpolated(old[0], new[0]), interpolated(old[1], new[1])
    expected = np.einsum("xi,yj,ijd->xyd", rows, columns, planes).reshape(-1, 3)
    found = resize_positions(cells, old, new, mode="bilinear")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("side", [1, 3, 5, 7, 8, 12])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_class_tokens_grid_is_resized_as_open_clip_does(side: int, mode: Any):
    model = pytest.importorskip("open_clip").model
    old = noise(1 + 7 * 7, 6)
    state = {"visual.positional_embedding": old.clone()}
    like = SimpleNamespace(visual=SimpleNamespace(grid_size=side))
    model.resize_pos_embed(state, like, interpolation=mode, antialias=mode == "bicubic")
    found = resize_positions(old, (7, 7), (side, side), mode=mode, num_prefix=1)
    assert torch.equal(found, state["visual.positional_embedding"])


def test_half_precision_is_resized_in_float32():
    cells = noise(16, 4).to(torch.bfloat16)
    found = resize_positions(cells, (4, 4), (6, 5), mode="bicubic")
    expected = resize_positions(cells.float(), (4, 4), (6, 5), mode="bicubic")
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected.to(torch.bfloat16))


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (96, 32), (71, 50)])
def test_pictures_of_any_shape_are_seen_as_timm_sees_them(size: tuple[int, int]):
    config = twin("ViT-B-16-SigLIP")
    theirs = shuffled(TimmTower(vision(config), takes_any_size=True))
    ours = VisionTransformer(vision(config)).eval()
    whole = of_open_clip(config).state_dict() | {
        f"visual.{name}": value for name, value in theirs.state_dict().items()
    }
    state = from_open_clip_siglip(whole)
    mine = {k.removeprefix("image.tower."): v for k, v in state.items() if k.startswith("image.t")}
    ours.load_state_dict(mine)
    pixels = noise(2, 3, *size)
    whole_patches = pixels[..., : size[0] // 16 * 16, : size[1] // 16 * 16]
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(whole_patches), rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-SO400M-14-SigLIP-384", "ResNet"])
def test_resized_for_good_says_what_it_said_on_the_fly(name: str, mode: Any):
    clip = resnet() if name == "ResNet" else shuffled(Clip(twin(name)))
    tower: Any = clip.image.tower
    larger = resized(clip, 96, mode=mode)
    owner = tower.pool if name == "ResNet" else tower
    owner.interpolation = mode
    pixels = noise(2, 3, 96, 96)
    assert larger.config.image.image_size == 96
    with torch.no_grad():
        once, fly = larger.image(pixels)["embedding"], clip.image(pixels)["embedding"]
        other = clip.image(pixels)["features"]
        owner.interpolation = "bilinear" if mode == "bicubic" else "bicubic"
        assert float((clip.image(pixels)["features"] - other).abs().max()) > 1e-5
    torch.testing.assert_close(once, fly, rtol=0, atol=1e-6)
    shared = larger.state_dict()
    moved = [k for k, v in clip.state_dict().items() if v.data_ptr() != shared[k].data_ptr()]
    assert moved == [f"image.tower.{'pool.' if name == 'ResNet' else ''}position_embedding"]


def resnet() -> Clip:
    image = ModifiedResNetConfig(
        image_size=64, depths=(1, 1, 1, 1), width=8, num_heads=4, output_width=48
    )
    clip = Clip(replace(twin("ViT-B-32"), image=image))
    clip.image.tower.initialise(torch.Generator().manual_seed(0))
    return clip.eval()


def test_a_model_resized_to_its_own_size_is_the_same():
    clip = shuffled(Clip(twin("ViT-B-16")))
    same = resized(clip, 64)
    for name, value in clip.state_dict().items():
        assert value.data_ptr() == same.state_dict()[name].data_ptr()


@pytest.mark.parametrize("length", [5, 12, 24, 31])
def test_linear_stretching_is_open_clips(length: int):
    model = pytest.importorskip("open_clip").model
    old = noise(12, 6)
    state = {"positional_embedding": old.clone()}
    like = SimpleNamespace(positional_embedding=torch.zeros(length, 6))
    model.resize_text_pos_embed(state, like)
    assert torch.equal(stretch_positions(old, length), state["positional_embedding"])


def long_clip(old: NDArray[np.float64]) -> NDArray[np.float64]:
    """Long-CLIP's load_from_clip in numbers: 77 positions become 248, four for each after 20."""
    new = np.zeros((248, old.shape[1]))
    new[:20] = old[:20]
    for place in range(20, 76):
        for quarter in range(4):
            step = old[place + 1] - old[place]
            new[20 + 4 * (place - 20) + quarter] = old[place] + quarter / 4 * step
    for quarter in range(4):
        new[244 + quarter] = old[76] + quarter / 4 * (old[76] - old[75])
    return new


def test_keeping_the_first_twenty_is_long_clips_rule():
    old = noise(77, 8)
    found = stretch_positions(old, 248, mode="keep_first")
    np.testing.assert_allclose(found, long_clip(old.double().numpy()), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(22, 80), st.integers(0, 200), st.integers(0, 999))
def test_keeping_the_first_twenty_continues_a_line(old: int, more: int, seed: int):
    generator = np.random.default_rng(seed)
    start, step = generator.normal(size=(2, 1, 3))
    line = torch.from_numpy(start + np.arange(old)[:, None] * step).float()
    found = stretch_positions(line, old + more, mode="keep_first")
    assert found.shape == (old + more, 3)
    assert torch.equal(found[:NUM_KEPT], line[:NUM_KEPT])
    places = NUM_KEPT + np.arange(old + more - NUM_KEPT) * (old - NUM_KEPT) / (
        old + more - NUM_KEPT
    )
    np.testing.assert_allclose(found[NUM_KEPT:], start + places[:, None] * step, atol=1e-3)


@pytest.mark.parametrize(("old", "new"), [(77, 60), (20, 40), (21, 80), (12, 24)])
def test_what_cannot_be_stretched_is_refused(old: int, new: int):
    with pytest.raises(ValueError, match=f"cannot stretch {old} positions to {new}"):
        stretch_positions(noise(old, 4), new, mode="keep_first")


def test_a_short_sentence_means_the_same_to_a_stretched_model():
    config = twin("ViT-B-32")
    clip = shuffled(Clip(replace(config, text=replace(config.text, context_length=30))))
    longer = stretched(clip, 70, mode="keep_first")
    assert longer.config.text.context_length == 70
    tokens = torch.zeros(1, 70, dtype=torch.int64)
    tokens[0, :5] = torch.tensor([START, 5, 6, 7, END])
    with torch.no_grad():
        same = clip.text(tokens[:, :30])["embedding"]
        torch.testing.assert_close(longer.text(tokens)["embedding"], same, rtol=0, atol=1e-6)
        tokens[0, 4:60], tokens[0, 60] = 8, END
        assert math.isfinite(float(longer.text(tokens)["embedding"].sum()))
    assert longer.text.tower.token_embedding.weight is not clip.text.tower.token_embedding.weight
    assert (
        longer.text.tower.token_embedding.weight.data_ptr()
        == clip.text.tower.token_embedding.weight.data_ptr()
    )


def test_a_larger_open_clip_is_our_resized_one():
    """What open_clip does with force_image_size: load the small weights into a larger model."""
    model = pytest.importorskip("open_clip").model
    small, large = twin("ViT-L-14"), twin("ViT-L-14-336")
    large = replace(large, image=replace(vision(large), depth=vision(small).depth))
    weights = of_open_clip(small).state_dict()
    ours = resized(build_clip(small, from_open_clip(weights)), vision(large).image_size)
    theirs: Any = of_open_clip(large)
    weights = dict(weights)
    model.resize_pos_embed(weights, theirs)
    theirs.load_state_dict(weights)
    with torch.no_grad():
        found, expected = ours.image(pictures(large)), theirs.encode_image(pictures(large), True)
    torch.testing.assert_close(found["embedding"], expected, rtol=0, atol=1e-5)
