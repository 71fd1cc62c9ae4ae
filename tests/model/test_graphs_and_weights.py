"""Promise 19: what is exported, compressed, saved or taken apart says the same as the model."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

import worlds
from wordsight.engine.onnx_runtime import OnnxRuntimeRunner
from wordsight.engine.openvino import OpenVinoRunner
from wordsight.errors import BundleError
from wordsight.images import prepare_batch
from wordsight.model.compression import compress
from wordsight.model.graph import (
    attach_head,
    detach_head,
    head_weights,
    read_graph,
    read_image_head,
    read_text_head,
)
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.two_tower import ImageTower, TextTower, load_towers, save_towers

RUNNERS = [OnnxRuntimeRunner, OpenVinoRunner]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    pictures = [
        worlds.draw(worlds.SHAPES[n % 4], list(worlds.COLOURS)[n % 6], n) for n in range(64)
    ]
    return prepare_batch(pictures, worlds.PREPROCESSING).pixels


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.integers(4, worlds.TEXT_CONFIG.vocab_size, (64, 9))
    rows[rng.random((64, 9)) < 0.3] = 0
    rows[:, 0] = 2
    return rows


@pytest.fixture(scope="module")
def graphs(tiny: Path) -> dict[str, Any]:
    return {
        side: read_graph(tiny / folder / f"{side}.onnx")
        for folder in ("towers",)
        for side in ("image", "text")
    }


def run(runner: Any, model: Any, batch: np.ndarray, path: Path, *outputs: str) -> Any:
    path.write_bytes(model.SerializeToString())
    return runner(path).run(batch, outputs or ("embedding",))


@pytest.mark.parametrize("runner", RUNNERS)
def test_exported_towers_say_what_the_modules_say(
    tiny: Path, pixels: np.ndarray, tokens: np.ndarray, runner: Any
):
    image = runner(tiny / "towers" / "image.onnx").run(pixels, ("features", "logits"))
    text = runner(tiny / "towers" / "text.onnx").run(tokens, ("features",))
    with torch.no_grad():
        features, logits = worlds.image_tower()(torch.from_numpy(pixels))
        sentence = worlds.text_tower()(torch.from_numpy(tokens))
    scale = float(features.abs().max())
    np.testing.assert_allclose(image["features"], features, atol=1e-4 * scale)
    np.testing.assert_allclose(image["logits"], logits, atol=1e-4 * float(logits.abs().max()))
    np.testing.assert_array_equal(image["logits"].argmax(1), logits.argmax(1))
    np.testing.assert_allclose(text["features"], sentence, atol=1e-5)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("classes", [0, 5])
def test_a_head_in_the_graph_says_what_the_module_says(
    graphs: dict[str, Any], pixels: np.ndarray, tmp_path: Path, classes: int, runner: Any
):
    head = worlds.heads(7, classes=classes)[0]
    model = attach_head(graphs["image"], head)
    onnx.checker.check_model(model, full_check=True)
    found = run(runner, model, pixels, tmp_path / "x.onnx", "embedding", "features", "logits")
    with torch.no_grad():
        expected = head(
            torch.from_numpy(found["features"]),
            torch.from_numpy(found["logits"]) if classes else None,
        )
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_text_head_in_the_graph_says_what_the_module_says(
    graphs: dict[str, Any], tokens: np.ndarray, tmp_path: Path, runner: Any
):
    head = worlds.heads(8)[1]
    with torch.no_grad():
        head.mean.normal_()
    model = attach_head(graphs["text"], head)
    onnx.checker.check_model(model, full_check=True)
    found = run(runner, model, tokens, tmp_path / "x.onnx", "embedding", "features")
    with torch.no_grad():
        expected = head(torch.from_numpy(found["features"]))
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("classes", [0, 5])
def test_a_head_is_read_back_as_it_was_attached(
    graphs: dict[str, Any], classes: int, precision: Any
):
    torch.manual_seed(3)
    image, text = ImageHead(48, classes, 64), TextHead(32, 64)  # large enough to be compressed
    for value in (image.mean, image.deviation, text.mean):
        value.uniform_(0.5, 1.5)
    attached = compress(attach_head(graphs["image"], image), precision)
    found = read_image_head(attached)
    found_text = read_text_head(compress(attach_head(graphs["text"], text), precision))
    assert found is not None
    assert found_text is not None
    tolerance = 0 if precision == "float32" else 1e-3
    for mine, theirs in ((image, found), (text, found_text)):
        assert list(theirs.state_dict()) == list(mine.state_dict())
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(
                theirs.state_dict()[name], value, rtol=tolerance, atol=tolerance
            )
        assert not theirs.training


def test_attaching_and_detaching_leaves_the_tower_untouched(graphs: dict[str, Any]):
    for side, head in zip(("image", "text"), worlds.heads(), strict=True):
        bare = detach_head(graphs[side])
        original = graphs[side].SerializeToString()
        attached = attach_head(graphs[side], head)
        assert graphs[side].SerializeToString() == original, "the argument was changed"
        assert detach_head(attached).SerializeToString() == bare.SerializeToString()
        again = attach_head(attached, head)
        assert again.SerializeToString() == attached.SerializeToString(), "two heads"
        assert head_weights(graphs[side]) == {}
        assert len(bare.graph.initializer) == len(graphs[side].graph.initializer)


def test_a_tower_whose_own_layers_are_called_head_or_embedding_keeps_them(tmp_path: Path):
    from onnx import TensorProto, helper, numpy_helper

    weight = np.eye(4, dtype=np.float32) * 2
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "head.weight"], ["embedding"], name="head.matmul"),
            helper.make_node("Relu", ["embedding"], ["features"], name="head.relu"),
        ],
        "tower",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weight, "head.weight")],
    )
    tower = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    head = TextHead(4, 3).eval()
    batch = np.abs(np.random.default_rng(0).normal(size=(5, 4))).astype(np.float32)
    with torch.no_grad():
        expected = head(torch.from_numpy(batch * 2))
    for runner in RUNNERS:
        found = run(runner, attach_head(tower, head), batch, tmp_path / "x.onnx")
        np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)
    assert read_text_head(tower) is None


def test_a_graph_without_a_head_has_none_and_a_damaged_head_is_named(graphs: dict[str, Any]):
    assert read_image_head(graphs["image"]) is None
    assert read_text_head(graphs["text"]) is None
    image, text = worlds.heads()
    for name in ("mean", "deviation", "linear.weight"):
        model = attach_head(graphs["image"], image)
        kept = [t for t in model.graph.initializer if t.name != f"wordsight.head.{name}"]
        assert len(kept) == len(model.graph.initializer) - 1
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        with pytest.raises(BundleError, match=f"head of the graph is damaged.*{name}"):
            read_image_head(model)
    model = attach_head(graphs["text"], text)
    mean = next(t for t in model.graph.initializer if t.name == "wordsight.head.mean")
    mean.CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), mean.name))
    with pytest.raises(BundleError, match="head of the graph is damaged"):
        read_text_head(model)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("side", ["image", "text"])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_compressed_graph_is_smaller_and_says_nearly_the_same(
    tiny: Path,
    pixels: np.ndarray,
    tokens: np.ndarray,
    tmp_path: Path,
    side: str,
    precision: Any,
    runner: Any,
):
    batch = pixels if side == "image" else tokens
    model = read_graph(tiny / "tiny" / f"{side}.onnx")
    small = compress(model, precision)
    onnx.checker.check_model(small)
    assert small.ByteSize() < (0.75 if precision == "float16" else 0.65) * model.ByteSize()
    before = run(runner, model, batch, tmp_path / "a.onnx")["embedding"]
    after = run(runner, small, batch, tmp_path / "b.onnx")["embedding"]
    cosines = (before * after).sum(axis=1)
    assert cosines.min() > (0.9999 if precision == "float16" else 0.99)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)
    compressed = runner(tmp_path / "b.onnx")
    alone = np.concatenate([compressed.run(row[None])["embedding"] for row in batch[:6]])
    np.testing.assert_allclose(alone, after[:6], atol=1e-5)


def test_float32_changes_nothing_and_int8_rounds_each_channel_by_itself(graphs: dict[str, Any]):
    same = compress(graphs["image"], "float32")
    assert same.SerializeToString() == graphs["image"].SerializeToString()
    small = compress(graphs["image"], "int8")
    stored = {entry.name: entry for entry in small.graph.initializer}
    for entry in graphs["image"].graph.initializer:
        if f"{entry.name}.int8" not in stored:
            continue
        value = onnx.numpy_helper.to_array(entry)
        levels = onnx.numpy_helper.to_array(stored[f"{entry.name}.int8"]).astype(np.float32)
        scale = onnx.numpy_helper.to_array(stored[f"{entry.name}.scale"])
        assert np.abs(levels).max() <= 127
        assert (np.abs(levels * scale - value) <= scale / 2 + 1e-7).all()
        assert scale.size in value.shape
    assert any(name.endswith(".int8") for name in stored)


def test_a_file_that_is_not_a_graph_is_named(tmp_path: Path):
    (tmp_path / "x.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(BundleError, match=r"x\.onnx: cannot be read as ONNX"):
        read_graph(tmp_path / "x.onnx")
    with pytest.raises(BundleError, match=r"absent\.onnx: cannot be read as ONNX"):
        read_graph(tmp_path / "absent.onnx")


def test_towers_are_saved_and_loaded_bit_by_bit(tiny: Path, pixels: np.ndarray):
    image, text = worlds.heads(5)
    towers = ImageTower(worlds.image_tower(5), image), TextTower(worlds.text_tower(5), text)
    content = save_towers(*towers)
    assert save_towers(*towers) == content
    path = tiny / "tiny" / "model.safetensors"
    architecture = _architecture(tiny)
    loaded = load_towers(path, architecture)
    saved = load_safetensors(path.read_bytes())
    for side, tower in zip(("image", "text"), loaded, strict=True):
        assert not tower.training
        for name, value in tower.state_dict().items():
            assert torch.equal(value, saved[f"{side}.{name}"])


def _architecture(tiny: Path) -> dict[str, Any]:
    from wordsight.bundle import open_bundle

    return open_bundle(tiny / "tiny").config.architecture


@pytest.mark.parametrize("name", ["text.tower.layers.0.query.weight", "image.head.mean"])
def test_a_layer_that_is_missing_too_many_or_of_another_shape_is_named(
    tiny: Path, tmp_path: Path, name: str
):
    good = load_safetensors((tiny / "tiny" / "model.safetensors").read_bytes())
    short = name.split(".", 1)[1]
    cases = {
        f"layer '{short}' is missing": {k: v for k, v in good.items() if k != name},
        f"layer '{short}' has shape": {**good, name: torch.zeros(3)},
        f"layer '{short}.more' is not part": {**good, f"{name}.more": torch.zeros(1)},
        "layer 'evil' is not part": {**good, "evil": torch.zeros(1)},
    }
    for message, weights in cases.items():
        path = tmp_path / "model.safetensors"
        path.write_bytes(save_safetensors(weights))
        with pytest.raises(BundleError, match=message) as caught:
            load_towers(path, _architecture(tiny))
        assert str(path) in str(caught.value)


def test_weights_in_half_precision_are_computed_with_in_float32(tiny: Path, tmp_path: Path):
    good = load_safetensors((tiny / "tiny" / "model.safetensors").read_bytes())
    half = {k: v.half() if v.is_floating_point() else v for k, v in good.items()}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save_safetensors(half))
    image, _ = load_towers(path, _architecture(tiny))
    assert {p.dtype for p in image.parameters()} == {torch.float32}
