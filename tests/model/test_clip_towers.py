"""What the towers of the CLIP family promise beyond being equal to public ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clip_twins import END, START, of_open_clip, pictures, sentences, shuffled, twin
from foreign_weights import from_open_clip, from_open_clip_siglip
from torch import Tensor

from wordsight.errors import InputError
from wordsight.model.architecture import ClipConfig, ModifiedResNetConfig
from wordsight.model.clip import Clip, build_clip
from wordsight.model.layers import LayerNorm, quick_gelu
from wordsight.model.text_transformer import TextTransformer
from wordsight.model.vision_transformer import VisionTransformer

FAMILIES = {"clip": "ViT-B-32-quickgelu", "siglip": "ViT-SO400M-14-SigLIP-384"}
RESNET = ModifiedResNetConfig(
    image_size=64, depths=(1, 1, 1, 1), width=8, num_heads=4, output_width=48
)


def model(family: str) -> Clip:
    config = twin(FAMILIES[family])
    table = from_open_clip_siglip if config.is_siglip else from_open_clip
    return build_clip(config, table(of_open_clip(config).state_dict()))


def towers(family: str) -> tuple[VisionTransformer, TextTransformer]:
    clip = model(family)
    assert isinstance(clip.image.tower, VisionTransformer)
    assert isinstance(clip.text.tower, TextTransformer)
    return clip.image.tower, clip.text.tower


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_is_figure_3_of_the_paper(family: str):
    clip = model(family)
    pixels, tokens = pictures(clip.config), sentences(clip.config)
    with torch.no_grad():
        said, state = clip(pixels, tokens), clip.double().state_dict()
        features = [
            part(batch)["features"].numpy()
            for part, batch in ((clip.image, pixels.double()), (clip.text, tokens))
        ]
    image_f, text_f = features
    w_i = state.get("image.head.linear.weight", torch.eye(image_f.shape[1])).numpy().T
    w_t = state["text.head.linear.weight"].numpy().T
    bias = state["text.head.linear.bias"].numpy() if family == "siglip" else 0
    i_e, t_e = image_f @ w_i, text_f @ w_t + bias
    i_e /= np.linalg.norm(i_e, axis=1, keepdims=True)
    t_e /= np.linalg.norm(t_e, axis=1, keepdims=True)
    logits = np.dot(i_e, t_e.T) * np.exp(state["logit_scale"].numpy())
    if family == "siglip":
        logits = logits + state["logit_bias"].numpy()
    np.testing.assert_allclose(said.images, i_e, atol=1e-6)
    np.testing.assert_allclose(said.texts, t_e, atol=1e-6)
    np.testing.assert_allclose(said.logits, logits, atol=1e-5)


def test_a_model_with_the_resnet_compares_too():
    config = replace(twin("ViT-B-32"), image=RESNET)
    clip = shuffled(Clip(config))
    said = clip(pictures(config), sentences(config))
    assert said.logits.shape == (3, 4)
    torch.testing.assert_close(said.images.norm(dim=1), torch.ones(3))


def recomputed_attention(found: dict[str, Tensor], name: str, *, is_causal: bool) -> Tensor:
    """Attention by its definition, in float64."""
    queries, keys, values = (found[f"{name}.{part}"] for part in ("queries", "keys", "values"))
    scores = queries.double() @ keys.double().mT / queries.shape[-1] ** 0.5
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    mixed = scores.softmax(dim=-1) @ values.double()
    return mixed.transpose(1, 2).flatten(2).float()


@pytest.mark.parametrize("side", ["image", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_named_activations_recompute_the_output(family: str, side: str):
    image, text = towers(family)
    tower: Any = image if side == "image" else text
    batch = pictures(twin(FAMILIES[family])) if side == "image" else sentences(text_config(family))
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        features, plain = tower(batch, activations=found), tower(batch)
    torch.testing.assert_close(features, plain, rtol=0, atol=1e-5)
    close = {"rtol": 1e-5, "atol": 1e-5}
    stream = found["tokens"]
    is_causal = side == "text" and family == "clip"
    for number, block in enumerate(tower.blocks):
        name = f"blocks.{number}"
        mixed = recomputed_attention(found, f"{name}.attention", is_causal=is_causal)
        torch.testing.assert_close(found[f"{name}.attention.mixed"], mixed, **close)
        added = F.linear(mixed, block.attention.out.weight, block.attention.out.bias)
        torch.testing.assert_close(found[f"{name}.attention"], added, **close)
        stream = stream + found[f"{name}.attention"] + found[f"{name}.mlp"]
        torch.testing.assert_close(found[name], stream, **close)
    torch.testing.assert_close(found["features"], features)
    if side == "text":
        places = batch.argmax(dim=1) if family == "clip" else torch.full((len(batch),), -1)
        torch.testing.assert_close(found["pooled"], stream[torch.arange(len(batch)), places])
    elif family == "clip":
        torch.testing.assert_close(found["pooled"], stream[:, 0])
    if family == "clip" or side == "text":
        torch.testing.assert_close(tower.norm(found["pooled"]), features)
    else:
        torch.testing.assert_close(found["normed"], tower.norm(stream), **close)
        weights, pool = found["pool.attention.weights"], tower.pool
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(weights.shape[:2]))
        heads = weights.shape[1]
        query, keys, values = (
            (batch @ weight.T + bias).unflatten(-1, (heads, -1)).transpose(1, 2)
            for batch, weight, bias in zip(
                (pool.probe, found["normed"], found["normed"]),
                pool.attention.qkv.weight.chunk(3),
                pool.attention.qkv.bias.chunk(3),
                strict=True,
            )
        )
        expected = (query @ keys.mT / keys.shape[-1] ** 0.5).softmax(dim=-1)
        torch.testing.assert_close(weights, expected[:, :, 0], **close)
        mixed = (expected @ values).flatten(1)
        torch.testing.assert_close(found["pool.attention.mixed"], mixed, **close)
        torch.testing.assert_close(found["pool.attention"] + found["pool.mlp"], features)


def text_config(family: str) -> ClipConfig:
    return twin(FAMILIES[family])


def test_the_documented_names_are_those_that_come():
    image, text = towers("clip")
    found: dict[str, dict[str, Tensor]] = {"image": {}, "text": {}, "map": {}}
    image(pictures(twin(FAMILIES["clip"])), found["image"])
    text(sentences(twin(FAMILIES["clip"])), found["text"])
    towers("siglip")[0](pictures(twin(FAMILIES["siglip"])), found["map"])
    parts = ("attention.queries", "attention.keys", "attention.values", "attention.mixed")
    inside = {f"blocks.{n}.{part}" for n in range(3) for part in (*parts, "attention", "mlp")}
    expected = inside | {f"blocks.{n}" for n in range(3)} | {"tokens", "pooled", "features"}
    assert set(found["text"]) == expected
    assert set(found["image"]) == expected | {"patches"}
    pool = {"pool.attention.weights", "pool.attention.mixed", "pool.attention", "pool.mlp"}
    assert set(found["map"]) == expected | {"patches", "normed"} | pool
    grid, depth = 3, 128
    assert found["image"]["patches"].shape == (3, grid**2, depth)
    assert found["image"]["tokens"].shape == (3, 1 + grid**2, depth)
    assert found["image"]["blocks.1.attention.queries"].shape == (3, 2, 1 + grid**2, 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_a_convolution_and_slopes_reach_every_activation(family: str):
    image, _ = towers(family)
    pixels, found = pictures(twin(FAMILIES[family])), {}
    features = image(pixels, found)
    side = image.config.patch_size
    convolved = F.conv2d(pixels, image.patch_embedding.weight, image.patch_embedding.bias, side)
    torch.testing.assert_close(found["patches"], convolved.flatten(2).mT, rtol=0, atol=1e-4)
    kept = {name: value for name, value in found.items() if name != "features"}
    slopes = torch.autograd.grad(features.square().sum(), list(kept.values()))
    for name, slope in zip(kept, slopes, strict=True):
        assert float(slope.abs().max()) > 0, name


@pytest.mark.parametrize("family", FAMILIES)
def test_export_and_compile_take_the_towers_whole(family: str):
    config = twin({"clip": "ViT-B-16", "siglip": "ViT-B-32-SigLIP2"}[family])
    clip = shuffled(Clip(replace(config, text=replace(config.text, depth=1))))
    pixels, tokens = pictures(clip.config, 4), sentences(clip.config, 4)
    batch = torch.export.Dim("batch")
    for tower, example in ((clip.image, pixels), (clip.text, tokens)):
        with torch.no_grad():
            expected = tower(example)
            program = torch.export.export(
                tower, (example[:3].clone(),), dynamic_shapes=({0: batch},)
            )
            compiled = torch.compile(tower, backend="eager", fullgraph=True)(example)
            for found in (program.module()(example), compiled):
                for name, value in expected.items():
                    torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5)


def test_a_causal_text_tower_is_exported_for_any_length():
    clip = model("clip")
    tokens = sentences(clip.config, 4)
    shapes = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=12)},)
    program = torch.export.export(clip.text, (tokens[:3, :9].clone(),), dynamic_shapes=shapes)
    with torch.no_grad():
        expected, found = clip.text(tokens), program.module()(tokens)
    torch.testing.assert_close(found["embedding"], expected["embedding"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["argmax", "end"])
def test_padding_on_the_right_may_be_cut_off_where_the_tower_says_so(pooling: Any):
    config = twin("ViT-B-32-quickgelu")
    text = replace(config.text, pooling=pooling, end_id=END if pooling == "end" else None)
    tower = shuffled(TextTransformer(text))
    assert tower.is_causal
    tokens = sentences(config, 6)
    lengths = (tokens != 0).sum(dim=1).tolist()
    with torch.no_grad():
        whole = tower(tokens)
        for row, length in enumerate(lengths):
            for end in range(length, tokens.shape[1] + 1):
                cut = tower(tokens[row : row + 1, :end])
                torch.testing.assert_close(cut[0], whole[row], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("is_causal", "pooling"), [(False, "last"), (True, "last"), (False, "argmax")]
)
def test_a_tower_whose_result_depends_on_the_padding_says_so(is_causal: bool, pooling: Any):
    text = replace(twin("ViT-B-32").text, is_causal=is_causal, pooling=pooling)
    tower = shuffled(TextTransformer(text))
    assert not tower.is_causal
    tokens = torch.tensor([[START, 5, 6, END, 0, 0]])
    with torch.no_grad():
        assert float((tower(tokens) - tower(tokens[:, :4])).abs().max()) > 1e-3


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("pooling", ["argmax", "end", "last"])
def test_each_pooling_reads_the_token_it_names(pooling: Any, is_causal: bool):
    config = twin("ViT-B-32").text
    end_id = 7 if pooling == "end" else None
    config = replace(config, pooling=pooling, end_id=end_id, is_causal=is_causal)
    tower = shuffled(TextTransformer(config))
    rows = [[3, 7, 98, 7, 1], [98, 3, 98, 7, 0], [1, 2, 3, 4, 7], [5, 5, 5, 5, 5]]
    place = {
        "argmax": [row.index(max(row)) for row in rows],
        "end": [row.index(7) if 7 in row else 0 for row in rows],
        "last": [4] * 4,
    }[pooling]
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        features = tower(torch.tensor(rows))
        tower(torch.tensor(rows), found)
        expected = tower.norm(found[f"blocks.{config.depth - 1}"])[torch.arange(4), place]
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_embedding_does_not_depend_on_its_neighbours(family: str):
    clip = model(family)
    pixels, tokens = pictures(clip.config, 5), sentences(clip.config, 5)
    with torch.no_grad():
        for tower, batch in ((clip.image, pixels), (clip.text, tokens)):
            together = tower(batch)["embedding"]
            alone = torch.cat([tower(batch[row : row + 1])["embedding"] for row in range(5)])
            torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_layer_norm_is_computed_in_float32(kind: torch.dtype):
    norm = LayerNorm(96).to(kind)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(5, 96) * 30 + 200  # where half precision would lose the deviation
    with torch.no_grad():
        found = norm(x)
        expected = F.layer_norm(x, (96,), norm.weight.float(), norm.bias.float())
    assert found.dtype == kind
    assert torch.equal(found, expected.to(kind))


@pytest.mark.parametrize("way", ["bfloat16", "float16", "autocast"])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_says_nearly_the_same(family: str, way: str):
    clip = model(family)
    pixels, tokens = pictures(clip.config), sentences(clip.config)
    with torch.no_grad():
        exact = clip(pixels, tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
            if way != "autocast":
                clip.to(getattr(torch, way))
            rough = clip(pixels, tokens)
    for one, two in ((exact.images, rough.images), (exact.texts, rough.texts)):
        assert two.dtype == torch.float32
        torch.testing.assert_close(two.norm(dim=1), torch.ones(len(two)))
        assert float((one * two).sum(dim=1).min()) > 0.9995


def test_the_stream_of_tokens_stays_in_float32():
    clip = model("clip").to(torch.bfloat16)
    for tower, batch in (
        (clip.image.tower, pictures(clip.config)),
        (clip.text.tower, sentences(clip.config)),
    ):
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            tower(batch, activations=found)
        kinds = {name: found[name].dtype for name in ("tokens", "blocks.0", "blocks.2", "pooled")}
        assert set(kinds.values()) == {torch.float32}, kinds
        assert found["blocks.1.mlp"].dtype == torch.bfloat16


def test_quick_gelu_and_its_slope_are_those_of_the_formula():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(quick_gelu(x), x / (1 + torch.exp(-1.702 * x)))
    assert torch.autograd.gradcheck(quick_gelu, x)


def test_a_picture_without_a_patch_is_refused():
    image, _ = towers("clip")
    with pytest.raises(InputError, match="40 x 20 pixels has no patch of 32 x 32"):
        image(torch.zeros(1, 3, 20, 40))


def test_a_text_that_is_too_long_is_refused():
    _, text = towers("clip")
    with pytest.raises(InputError, match="a text of 13 tokens is longer than the 12"):
        text(torch.ones(1, 13, dtype=torch.int64))
