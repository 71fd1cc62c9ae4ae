"""Storing the weights of an ONNX graph in fewer bytes, computing in float32 all the same.

A weight becomes float16, or int8 with one scale per output channel, followed in the graph by the
cast (and multiplication) that restores it; engines fold these when they load the graph. Activations
stay float32, so a row never depends on its batch-mates, as it does under dynamic quantisation.
"""

from collections.abc import Collection
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.model.graph import HALF, HEAD
from wordsight.packages import require

Precision = Literal["float32", "float16", "int8"]

WITH_CHANNELS = ("Conv", "Gather", "Gemm", "MatMul")
LEVELS = ("QuantizeLinear", "DequantizeLinear")
"""Operators of a quantised graph; engines look at their scales before anything is computed."""
SMALLEST = 1024
"""Weights of fewer values stay as they are: they weigh nothing and may be sensitive."""


def compress(model: Any, precision: Precision) -> Any:
    """Return a copy of a graph whose large float32 weights are stored as `precision`.

    int8 is for matrices and convolutions; the head of a model, and any other tensor, are stored as
    float16 then.
    """
    onnx = require("onnx", extra="torch")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    compress_in_place(copy, precision)
    return copy


def compress_in_place(
    model: Any, precision: Precision, *, int8: Collection[str] = WITH_CHANNELS
) -> None:
    """Store the large float32 weights of a graph as `compress` does, without a second copy.

    Args:
        int8: operators whose weights become int8, if that is the precision; others are float16.
    """
    onnx = require("onnx", extra="torch")
    if precision == "float32":
        return
    graph = model.graph
    axes = {name: axis for name, (operator, axis) in _channels(graph).items() if operator in int8}
    levels = {name for node in graph.node if node.op_type in LEVELS for name in node.input}
    initializers: list[Any] = []
    nodes: list[Any] = []
    for entry in graph.initializer:
        is_large = entry.data_type == onnx.TensorProto.FLOAT and prod(entry.dims) >= SMALLEST
        if not is_large or entry.name in levels:
            initializers.append(entry)
            continue
        value = onnx.numpy_helper.to_array(entry)
        is_quantised = (
            precision == "int8" and entry.name in axes and not entry.name.startswith(HEAD)
        )
        if is_quantised:
            stored, added = _as_int8(onnx, entry.name, value, axes[entry.name])
        else:
            stored, added = _as_half(onnx, entry.name, value)
        initializers.extend(stored)
        nodes.extend(added)
    nodes.extend(graph.node)
    del graph.initializer[:]
    del graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)


def is_transposed(node: Any) -> bool:
    """Say whether the weight of a Gemm has its output channels first."""
    return any(a.name == "transB" and a.i for a in node.attribute)


def int8_levels(
    value: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a weight in levels of -127 to 127, and the scale of each channel."""
    others = tuple(place for place in range(value.ndim) if place != axis % value.ndim)
    scale = np.abs(value).max(axis=others, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.clip(np.rint(value / scale), -127, 127).astype(np.int8), scale


def _channels(graph: Any) -> dict[str, tuple[str, int]]:
    """Map each weight of an operator that has channels to the operator and the axis of them."""
    found: dict[str, tuple[str, int]] = {}
    for node in graph.node:
        kind = node.op_type
        if kind not in WITH_CHANNELS:
            continue
        axis = 0 if kind in ("Conv", "Gather") or is_transposed(node) else -1
        found[node.input[0 if kind == "Gather" else 1]] = kind, axis
    return found


def _as_half(onnx: Any, name: str, value: NDArray[np.float32]) -> tuple[list[Any], list[Any]]:
    half = onnx.numpy_helper.from_array(value.astype(np.float16), name + HALF)
    cast = onnx.helper.make_node(
        "Cast", [half.name], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
    )
    return [half], [cast]


def _as_int8(
    onnx: Any, name: str, value: NDArray[np.float32], axis: int
) -> tuple[list[Any], list[Any]]:
    levels, scale = int8_levels(value, axis)
    stored = [
        onnx.numpy_helper.from_array(levels, f"{name}.int8"),
        onnx.numpy_helper.from_array(scale, f"{name}.scale"),
    ]
    restored = f"{name}.restored"
    added = [
        onnx.helper.make_node(
            "Cast",
            [f"{name}.int8"],
            [restored],
            name=f"{name}.cast",
            to=onnx.TensorProto.FLOAT,
        ),
        onnx.helper.make_node("Mul", [restored, f"{name}.scale"], [name], name=f"{name}.multiply"),
    ]
    return stored, added
