"""Which layers of a graph lose most in int8, to be left in higher precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.model.compression import int8_levels, is_transposed
from wordsight.model.quantisation import Calibrated
from wordsight.packages import require


def sensitivity(calibrated: Calibrated, batch: NDArray[Any]) -> dict[str, float]:
    """Return how much of what each layer gives is lost in int8, by name, the worst first.

    The loss is that of the layer alone, fed with what the float32 graph gives it on `batch`:
    |y - y'|^2 / |y|^2, with input and weight of y' rounded as in the quantised graph.
    """
    runtime = require("onnxruntime", extra="torch")
    onnx = require("onnx", extra="torch")
    nodes = {node.name: node for node in calibrated.model.graph.node}
    weights = {entry.name: entry for entry in calibrated.model.graph.initializer}
    model = onnx.ModelProto()
    model.CopyFrom(calibrated.model)
    entry = str(model.graph.input[0].name)
    inputs = sorted({nodes[layer.node].input[0] for layer in calibrated.layers} - {entry})
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inputs)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    seen: dict[str, NDArray[Any]] = {entry: batch}
    if inputs:
        seen |= zip(inputs, session.run(inputs, {entry: batch}), strict=True)
    losses: dict[str, float] = {}
    for layer in calibrated.layers:
        node = nodes[layer.node]
        weight = onnx.numpy_helper.to_array(weights[layer.weight])
        x = seen[node.input[0]]
        exact = _alone(node, x, weight)
        axis = 0 if node.op_type == "Conv" or is_transposed(node) else -1
        levels, scale = int8_levels(weight, axis)
        x = _rounded(x, *_range(calibrated.ranges, node.input[0]))
        rounded = _alone(node, x, levels * scale)
        losses[layer.name] = float(((exact - rounded) ** 2).sum() / max((exact**2).sum(), 1e-30))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _alone(node: Any, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Run one layer without its bias."""
    if node.op_type == "MatMul":
        return x @ weight
    if node.op_type == "Gemm":
        return x @ (weight.T if is_transposed(node) else weight)
    onnx = require("onnx", extra="torch")
    runtime = require("onnxruntime", extra="torch")
    single = onnx.NodeProto()
    single.CopyFrom(node)
    del single.input[2:]
    single.input[0], single.input[1], single.output[0] = "x", "w", "y"
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [single],
        "one",
        [make(name, onnx.TensorProto.FLOAT, None) for name in ("x", "w")],
        [make("y", onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    model.ir_version = 10
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x, "w": weight})[0]


def _range(ranges: Any, name: str) -> tuple[float, float]:
    low, high = ranges[name].range_value
    return min(0.0, float(np.min(low))), max(0.0, float(np.max(high)))


def _rounded(x: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Round x to the 256 levels between `low` and `high`, and back."""
    scale = max(high - low, 1e-30) / 255
    zero = round(-low / scale)
    return ((np.rint(x / scale) + zero).clip(0, 255) - zero).astype(np.float32) * np.float32(scale)
