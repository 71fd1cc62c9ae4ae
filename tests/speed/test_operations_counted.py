"""The operations that `wordsight bench` counts are those that torch counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import worlds  # noqa: E402
from wordsight.bundle import open_bundle  # noqa: E402
from wordsight.engine.torch import bundle_towers  # noqa: E402
from wordsight.model.architecture import (  # noqa: E402
    ClipConfig,
    TextTransformerConfig,
    VisionTransformerConfig,
    describe,
)
from wordsight.model.size import measure  # noqa: E402
from wordsight.speed.operations import (  # noqa: E402
    architecture_of,
    count_operations,
    graph_operations,
    node_operations,
)

TOKENS = 9
TEXT = TextTransformerConfig(
    vocab_size=99, context_length=12, width=64, depth=3, num_heads=4, mlp_width=256
)


def counted_by_torch(module, batch) -> int:
    # Attention of a kernel is not seen by the counter; spelled out it is.
    with (
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        module(torch.from_numpy(batch))
    return counter.get_total_flops()


def test_a_graph_takes_the_operations_that_torch_counts_for_its_towers(tiny: Path):
    bundle = open_bundle(tiny / "tiny")
    image, text = bundle_towers(bundle)
    pixels = np.zeros((3, 3, worlds.SIZE, worlds.SIZE), np.float32)
    ids = np.full((2, TOKENS), 5, np.int64)
    assert graph_operations(bundle.path / "image.onnx", pixels) == counted_by_torch(image, pixels)
    assert graph_operations(bundle.path / "text.onnx", ids) == counted_by_torch(text, ids)


def test_a_model_of_no_known_architecture_is_counted_by_its_graphs(tiny: Path):
    bundle = open_bundle(tiny / "tiny")
    image, text = bundle_towers(bundle)
    found = count_operations(bundle, tokens=TOKENS)
    assert found.counted_by == "graph"
    pixels = np.zeros((1, 3, worlds.SIZE, worlds.SIZE), np.float32)
    assert found.picture == counted_by_torch(image, pixels)
    assert found.sentence == counted_by_torch(text, np.full((1, TOKENS), 5, np.int64))


def graph_of(node, inputs, weights, outputs) -> bytes:
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in inputs.items()
    ]
    made = [
        onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
        for name, shape in weights.items()
    ]
    out = [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, outputs)]
    graph = onnx.helper.make_graph([node], "one", values, out, made)
    opset = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def one_node(kind, **attributes):
    return onnx.helper.make_node(kind, ["x", "w"], ["embedding"], **attributes)


@pytest.mark.parametrize(
    ("node", "shape", "weights", "module"),
    [
        (
            one_node("Conv", group=2, strides=[2, 1], pads=[1, 0, 1, 0]),
            (2, 4, 9, 7),
            (6, 2, 3, 2),
            lambda x, w: torch.nn.functional.conv2d(x, w, stride=(2, 1), padding=(1, 0), groups=2),
        ),
        (one_node("Gemm", transB=1), (5, 7), (3, 7), lambda x, w: x @ w.T),
        (one_node("Gemm", transA=1), (7, 5), (7, 3), lambda x, w: x.T @ w),
        (one_node("MatMul"), (2, 3, 5, 7), (7, 4), lambda x, w: x @ w),
        (one_node("MatMul"), (3, 5, 7), (3, 7, 4), lambda x, w: x @ w),
    ],
    ids=["convolution in groups", "gemm", "gemm turned over", "one matrix", "many matrices"],
)
def test_every_kind_of_product_is_counted_as_torch_counts_it(
    node, shape, weights, module, tmp_path
):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made = module(torch.ones(shape), torch.ones(weights))
    path = tmp_path / "one.onnx"
    path.write_bytes(graph_of(node, {"x": shape}, {"w": weights}, list(made.shape)))
    assert graph_operations(path, np.ones(shape, np.float32)) == counter.get_total_flops()


def test_a_graph_with_products_unknown_here_is_not_guessed(tmp_path):
    node = one_node("Einsum", equation="ab,bc->ac")
    path = tmp_path / "one.onnx"
    path.write_bytes(graph_of(node, {"x": (2, 3)}, {"w": (3, 4)}, [2, 4]))
    with pytest.raises(ValueError, match="node Einsum, whose operations are not counted"):
        graph_operations(path, np.ones((2, 3), np.float32))


def test_nodes_that_do_not_multiply_cost_nothing():
    node = {
        "op_name": "Add",
        "input_type_shape": [{"float": [2, 3]}, {}],
        "output_type_shape": [{"float": [2, 3]}],
    }
    assert node_operations(node) == 0


def test_towers_of_the_clip_family_count_as_published_for_the_length_of_the_sentence(tiny: Path):
    image = VisionTransformerConfig(
        image_size=64, patch_size=16, width=64, depth=2, num_heads=2, mlp_width=256
    )
    config = ClipConfig(image=image, text=TEXT, embed_dim=48)
    described = {"image": describe(image), "text": describe(TEXT)}
    bundle = open_bundle(tiny / "tiny")
    bundle = replace(bundle, config=replace(bundle.config, architecture=described, embed_dim=48))
    found = count_operations(bundle, tokens=5)
    assert found.counted_by == "architecture"
    assert found.picture == measure(config).image.operations
    shorter = replace(config, text=replace(TEXT, context_length=5))
    assert found.sentence == measure(shorter).text.operations
    assert found.sentence < measure(config).text.operations
    assert count_operations(bundle, tokens=1000).sentence == (measure(config).text.operations)


def test_mixed_up_or_unknown_towers_have_no_architecture(tiny: Path):
    config = open_bundle(tiny / "tiny").config
    assert architecture_of(config) is None
    described = describe(TEXT)
    mixed = replace(config, architecture={"image": described, "text": described})
    assert architecture_of(mixed) is None


def test_a_model_without_graphs_and_of_no_known_architecture_is_not_guessed(tiny: Path):
    bundle = open_bundle(tiny / "tiny")
    kept = {name: digest for name, digest in bundle.files.items() if not name.endswith(".onnx")}
    found = count_operations(replace(bundle, files=kept), tokens=3)
    assert (found.picture, found.sentence, found.counted_by) == (None, None, "")
    assert "no known architecture" in found.reason
