"""Arrays of big_vision's SigLIP: open_clip must load the same file to the same model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face_world import randomise
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.convert import load_big_vision_weights
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from timm.models.vision_transformer import VisionTransformer

from wordsight.checkpoints.big_vision import read_big_vision
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.errors import CheckpointError
from wordsight.images import Preprocessing
from wordsight.model.clip import build_clip

IMAGE_WIDTH, IMAGE_HEADS, IMAGE_DEPTH, PATCH, GRID = 24, 4, 3, 5, 4
TEXT_WIDTH, TEXT_HEADS, TEXT_DEPTH, CONTEXT, VOCABULARY = 20, 5, 2, 11, 61
Arrays = dict[str, NDArray[Any]]


def open_clip_model(seed: int) -> CustomTextCLIP:
    """Make a small SigLIP of open_clip, with the activation big_vision has and random weights."""
    tanh = {"approximate": "tanh"}
    text = CLIPTextCfg(
        context_length=CONTEXT, vocab_size=VOCABULARY, width=TEXT_WIDTH, heads=TEXT_HEADS,
        layers=TEXT_DEPTH, mlp_ratio=2, no_causal_mask=True, proj_bias=True, pool_type="last",
        norm_kwargs={"eps": 1e-6}, act_kwargs=tanh,
    )  # fmt: skip
    image = CLIPVisionCfg(timm_model_name="vit_tiny_patch16_224", timm_proj="none", image_size=32)
    model = CustomTextCLIP(IMAGE_WIDTH, image, text, init_logit_bias=-10)
    model.visual.trunk = VisionTransformer(
        img_size=GRID * PATCH, patch_size=PATCH, embed_dim=IMAGE_WIDTH, depth=IMAGE_DEPTH,
        num_heads=IMAGE_HEADS, mlp_ratio=3, class_token=False, global_pool="map", num_classes=0,
        act_layer="gelu_tanh",
    )  # fmt: skip
    randomise(model, seed)
    return model.eval()


# --- the layout of big_vision, spelled out ---------------------------------------------------


def arrays_of(model: CustomTextCLIP) -> Arrays:
    """Lay the weights of open_clip's model out as flax does."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    trunk = "visual.trunk"
    arrays: Arrays = {
        "img/embedding/kernel": state[f"{trunk}.patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "img/embedding/bias": state[f"{trunk}.patch_embed.proj.bias"],
        "img/pos_embedding": state[f"{trunk}.pos_embed"],
        "img/MAPHead_0/probe": state[f"{trunk}.attn_pool.latent"],
        "txt/Embed_0/embedding": state["text.token_embedding.weight"],
        "txt/pos_embedding": state["text.positional_embedding"][None],
        "t": state["logit_scale"].reshape(1),
        "b": state["logit_bias"].reshape(1),
    }

    def norm(theirs: str, ours: str) -> None:
        arrays[f"{theirs}/scale"] = state[f"{ours}.weight"]
        arrays[f"{theirs}/bias"] = state[f"{ours}.bias"]

    def dense(theirs: str, ours: str) -> None:
        arrays[f"{theirs}/kernel"] = state[f"{ours}.weight"].T
        arrays[f"{theirs}/bias"] = state[f"{ours}.bias"]

    def attention(theirs: str, weight: Any, bias: Any, out: str, heads: int) -> None:
        width = weight.shape[1]
        theirs = f"{theirs}/MultiHeadDotProductAttention_0"
        for i, name in enumerate(("query", "key", "value")):
            rows = slice(i * width, (i + 1) * width)
            arrays[f"{theirs}/{name}/kernel"] = weight[rows].T.reshape(width, heads, -1)
            arrays[f"{theirs}/{name}/bias"] = bias[rows].reshape(heads, -1)
        arrays[f"{theirs}/out/kernel"] = state[f"{out}.weight"].T.reshape(heads, -1, width)
        arrays[f"{theirs}/out/bias"] = state[f"{out}.bias"]

    for i in range(IMAGE_DEPTH):
        theirs, ours = f"img/Transformer/encoderblock_{i}", f"{trunk}.blocks.{i}"
        norm(f"{theirs}/LayerNorm_0", f"{ours}.norm1")
        qkv = state[f"{ours}.attn.qkv.weight"], state[f"{ours}.attn.qkv.bias"]
        attention(theirs, *qkv, f"{ours}.attn.proj", IMAGE_HEADS)
        norm(f"{theirs}/LayerNorm_1", f"{ours}.norm2")
        dense(f"{theirs}/MlpBlock_0/Dense_0", f"{ours}.mlp.fc1")
        dense(f"{theirs}/MlpBlock_0/Dense_1", f"{ours}.mlp.fc2")
    norm("img/Transformer/encoder_norm", f"{trunk}.norm")
    pool = f"{trunk}.attn_pool"
    joined = [
        np.concatenate([state[f"{pool}.q.{part}"], state[f"{pool}.kv.{part}"]])
        for part in ("weight", "bias")
    ]
    attention("img/MAPHead_0", *joined, f"{pool}.proj", IMAGE_HEADS)
    norm("img/MAPHead_0/LayerNorm_0", f"{pool}.norm")
    dense("img/MAPHead_0/MlpBlock_0/Dense_0", f"{pool}.mlp.fc1")
    dense("img/MAPHead_0/MlpBlock_0/Dense_1", f"{pool}.mlp.fc2")
    for i in range(TEXT_DEPTH):
        theirs, ours = f"txt/Encoder_0/encoderblock_{i}", f"text.transformer.resblocks.{i}"
        norm(f"{theirs}/LayerNorm_0", f"{ours}.ln_1")
        qkv = state[f"{ours}.attn.in_proj_weight"], state[f"{ours}.attn.in_proj_bias"]
        attention(theirs, *qkv, f"{ours}.attn.out_proj", TEXT_HEADS)
        norm(f"{theirs}/LayerNorm_1", f"{ours}.ln_2")
        dense(f"{theirs}/MlpBlock_0/Dense_0", f"{ours}.mlp.c_fc")
        dense(f"{theirs}/MlpBlock_0/Dense_1", f"{ours}.mlp.c_proj")
    norm("txt/Encoder_0/encoder_norm", "text.ln_final")
    dense("txt/head", "text.text_projection")
    return arrays


def scanned(arrays: Arrays) -> Arrays:
    """Put the blocks of each tower into one array a layer, as a model scanned over its depth."""
    stacked = dict(arrays)
    for folder, depth in (("img/Transformer", IMAGE_DEPTH), ("txt/Encoder_0", TEXT_DEPTH)):
        first = f"{folder}/encoderblock_0/"
        for name in [name for name in arrays if name.startswith(first)]:
            layer = name.removeprefix(first)
            blocks = [stacked.pop(f"{folder}/encoderblock_{i}/{layer}") for i in range(depth)]
            stacked[f"{folder}/encoderblock/{layer}"] = np.stack(blocks)
    return stacked


def rooted(arrays: Arrays) -> Arrays:
    """Say that these are the parameters of a model in training, with some of its optimiser."""
    return {f"params/{name}": array for name, array in arrays.items()} | {
        "opt/0/count": np.zeros(1, np.int32)
    }


FORMS: dict[str, Callable[[Arrays], Arrays]] = {
    "block by block": lambda arrays: arrays,
    "scanned": scanned,
    "in training": rooted,
    "scanned, in training": lambda arrays: rooted(scanned(arrays)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model in each form; not to be changed."""
    folder, arrays = tmp_path_factory.mktemp("big_vision"), arrays_of(open_clip_model(seed=1))
    for number, form in enumerate(FORMS.values()):
        np.savez(folder / f"{number}.npz", **form(arrays))
    return {name: folder / f"{number}.npz" for number, name in enumerate(FORMS)}


def read(path: Path) -> Checkpoint:
    return read_big_vision(path, Overrides())


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_open_clip_reads_the_same_model_from_the_file(files: dict[str, Path], form: str):
    home = open_clip_model(seed=2)
    load_big_vision_weights(home, str(files[form]))
    checkpoint = read(files[form])
    weights = {name: tensor.read() for name, tensor in checkpoint.weights.items()}
    clip = build_clip(checkpoint.architecture, weights)
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(4, 3, GRID * PATCH, GRID * PATCH, generator=generator)
    tokens = torch.randint(0, VOCABULARY, (5, CONTEXT), generator=generator)
    with torch.no_grad():
        images, texts, scale, bias = home(pixels, tokens)
        ours = clip(pixels, tokens)
    torch.testing.assert_close(ours.images, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.texts, texts, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.logits, scale * images @ texts.mT + bias, rtol=1e-4, atol=1e-4)
    assert images.std(0).min() > 1e-3


def test_the_oracle_is_laid_out_rightly(files: dict[str, Path]):
    source, home = open_clip_model(seed=1), open_clip_model(seed=2)
    load_big_vision_weights(home, str(files["block by block"]))
    for name, value in source.state_dict().items():
        assert torch.equal(home.state_dict()[name], value), name


def test_architecture_and_notes_come_from_the_shapes(files: dict[str, Path]):
    checkpoint = read(files["scanned, in training"])
    config = checkpoint.architecture
    assert (config.image.image_size, config.image.patch_size) == (20, 5)  # type: ignore[union-attr]
    assert (config.text.num_heads, config.text.mlp_width) == (TEXT_HEADS, 2 * TEXT_WIDTH)
    assert checkpoint.preprocessing.size == 20
    assert checkpoint.preprocessing.resize == "squash"
    notes = "; ".join(checkpoint.notes)
    assert "all in one array" in notes
    assert "gelu_tanh" in notes
    assert "1 arrays outside 'params/'" in notes


def test_a_larger_picture_with_the_same_patches_can_be_asked_for(files: dict[str, Path]):
    sizes = {19: 20, 20: 20, 24: 24, 25: 20}
    for asked, expected in sizes.items():
        wish = Overrides(preprocessing=Preprocessing(size=asked))
        checkpoint = read_big_vision(files["scanned"], wish)
        assert checkpoint.architecture.image.image_size == expected
        assert checkpoint.preprocessing.size == asked


def test_numbers_keep_their_type(tmp_path: Path):
    arrays = arrays_of(open_clip_model(seed=1))
    half = {name: array.astype(np.float16) for name, array in scanned(arrays).items()}
    np.savez(tmp_path / "half.npz", **half)
    weights = read(tmp_path / "half.npz").weights
    found = weights["image.tower.blocks.2.mlp.expand.weight"].read()
    kernel = half["img/Transformer/encoderblock/MlpBlock_0/Dense_0/kernel"][2]
    assert found.dtype == torch.float16
    assert np.array_equal(found.numpy(), kernel.T)


def test_packed_archives_are_read_too(files: dict[str, Path], tmp_path: Path):
    with np.load(files["scanned"]) as arrays:
        np.savez_compressed(tmp_path / "packed.npz", **arrays)
    expected = read(files["scanned"]).weights
    for name, tensor in read(tmp_path / "packed.npz").weights.items():
        assert torch.equal(tensor.read(), expected[name].read())


@pytest.mark.parametrize("order", ["Fortran", "big-endian"])
def test_arrays_may_lie_otherwise_in_the_file(files: dict[str, Path], tmp_path: Path, order: str):
    with np.load(files["scanned"]) as arrays:
        if order == "Fortran":
            others = {name: np.asfortranarray(array) for name, array in arrays.items()}
        else:
            others = {name: array.astype(">f4") for name, array in arrays.items()}
    np.savez(tmp_path / "others.npz", **others)
    expected = read(files["scanned"]).weights
    for name, tensor in read(tmp_path / "others.npz").weights.items():
        assert torch.equal(tensor.read(), expected[name].read())


def test_a_block_is_read_without_the_others(files: dict[str, Path]):
    for tensor in read(files["scanned"]).weights.values():
        numbers = tensor.read()
        assert numbers.untyped_storage().nbytes() == tensor.num_bytes


def test_a_flipped_bit_in_the_array_of_all_blocks_is_found(files: dict[str, Path], tmp_path: Path):
    content = bytearray(files["scanned"].read_bytes())
    with np.load(files["scanned"]) as arrays:
        last = arrays["img/Transformer/encoderblock/MlpBlock_0/Dense_0/kernel"][2]
    place = content.find(last.tobytes())
    assert place > 0
    content[place] ^= 1
    (tmp_path / "damaged.npz").write_bytes(content)
    weights = read(tmp_path / "damaged.npz").weights
    with pytest.raises(CheckpointError, match=r"Dense_0/kernel.* is damaged"):
        weights["image.tower.blocks.0.mlp.expand.weight"].read()


# --- refusals --------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path)
    return str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_layer_that_is_missing_is_named(files: dict[str, Path], data: st.DataObject):
    form = data.draw(st.sampled_from(sorted(FORMS)))
    with np.load(files[form]) as loaded:
        arrays = dict(loaded)
    name = data.draw(st.sampled_from(sorted(name for name in arrays if "opt/" not in name)))
    del arrays[name]
    path = files[form].parent / "missing.npz"
    np.savez(path, **arrays)
    message = refusal(path)
    assert str(path) in message
    assert name.removeprefix("params/") in message
    assert "is missing" in message


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_layer_of_a_wrong_shape_is_named(files: dict[str, Path], data: st.DataObject):
    form = data.draw(st.sampled_from(sorted(FORMS)))
    with np.load(files[form]) as loaded:
        arrays = dict(loaded)
    names = sorted(name for name in arrays if "opt/" not in name)
    # Those below say what the architecture is: another shape of theirs is another model.
    telling = ("embedding", "embedding/kernel", "head/kernel", "query/kernel")
    telling += ("Dense_0/kernel", "LayerNorm_0/scale")
    name = data.draw(st.sampled_from([name for name in names if not name.endswith(telling)]))
    array = arrays[name]
    ways = [array[..., None], np.concatenate([array, array]), array.reshape(1, -1, 1, 1, 1, 1)]
    if array.ndim > 1 and array.shape != array.shape[::-1]:
        ways.append(array.T)
    arrays[name] = ways[data.draw(st.integers(0, len(ways) - 1))]
    path = files[form].parent / "misshapen.npz"
    np.savez(path, **arrays)
    message = refusal(path)
    assert str(path) in message
    assert name.removeprefix("params/") in message


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_shape_of_any_layer_is_refused_with_file_and_reason(
    files: dict[str, Path], data: st.DataObject
):
    form = data.draw(st.sampled_from(sorted(FORMS)))
    with np.load(files[form]) as loaded:
        arrays = dict(loaded)
    name = data.draw(st.sampled_from(sorted(name for name in arrays if "opt/" not in name)))
    shape = data.draw(st.lists(st.integers(0, 7), max_size=5))
    arrays[name] = np.zeros(shape, np.float32)
    path = files[form].parent / "any.npz"
    np.savez(path, **arrays)
    assert str(path) in refusal(path)


OTHERS = {
    "img/cls": (np.zeros((1, 1, IMAGE_WIDTH), np.float32), "pools at a class token"),
    "img/head/kernel": (np.zeros((IMAGE_WIDTH, 8), np.float32), "has a projection"),
    "img/pre_logits/kernel": (np.zeros((IMAGE_WIDTH, 8), np.float32), "hidden layer"),
    "txt/MAPHead_0/probe": (np.zeros((1, 1, TEXT_WIDTH), np.float32), "pools by attention"),
    "txt/cls": (np.zeros((1, 1, TEXT_WIDTH), np.float32), "pools at a class token"),
    "txt/BertEncoder_0/x": (np.zeros(3, np.float32), "not part of this architecture"),
    "img/embedding/kernel": (np.zeros((75, IMAGE_WIDTH), np.float32), "NaFlex"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_of_big_vision_are_refused_with_the_reason(
    files: dict[str, Path], tmp_path: Path, name: str
):
    array, reason = OTHERS[name]
    with np.load(files["block by block"]) as loaded:
        np.savez(tmp_path / "other.npz", **(dict(loaded) | {name: array}))
    message = refusal(tmp_path / "other.npz")
    assert repr(name) in message
    assert reason in message


def test_models_without_a_bias_in_their_similarity_are_refused(
    files: dict[str, Path], tmp_path: Path
):
    with np.load(files["block by block"]) as loaded:
        np.savez(tmp_path / "lit.npz", **{name: loaded[name] for name in loaded if name != "b"})
    assert "layer 'b' is missing" in refusal(tmp_path / "lit.npz")


def test_other_arrays_are_said_to_be_others(tmp_path: Path):
    np.savez(tmp_path / "x.npz", mean=np.zeros(3), t=np.zeros(1))
    assert "arrays, but not of a SigLIP of big_vision" in refusal(tmp_path / "x.npz")


def test_positions_that_are_no_square_are_refused(files: dict[str, Path], tmp_path: Path):
    with np.load(files["scanned"]) as loaded:
        wide = dict(loaded) | {"img/pos_embedding": np.zeros((1, 15, IMAGE_WIDTH), np.float32)}
    np.savez(tmp_path / "wide.npz", **wide)
    assert "the 15 positions of 'img/pos_embedding' are no square" in refusal(tmp_path / "wide.npz")
