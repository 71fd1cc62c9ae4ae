"""Computing once what is the same for every input: nodes of an ONNX graph that only see weights.

A weight that is stored in few bytes is restored by such nodes (`wordsight.model.compression`), and
exporters leave views of weights in the graph. Quantisation wants plain matrices instead.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.packages import require

FOLDED = frozenset({"Cast", "Mul", "Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze"})
"""Operators that restore weights or look at them from another side; none makes them larger."""


def fold_weights(model: Any) -> None:
    """Replace nodes of the kinds above by the weights that they make; unused weights go."""
    onnx = require("onnx", extra="torch")
    reference = require("onnx.reference", extra="torch")
    graph = model.graph
    weights: dict[str, Any] = {entry.name: entry for entry in graph.initializer}
    arrays: dict[str, NDArray[Any]] = {}

    def array(name: str) -> NDArray[Any]:
        if name not in arrays:
            arrays[name] = onnx.numpy_helper.to_array(weights[name])
        return arrays[name]

    made: dict[str, NDArray[Any]] = {}
    kept: list[Any] = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        is_constant = all(name in weights or name in made for name in inputs)
        if node.op_type not in FOLDED or not is_constant:
            kept.append(node)
            continue
        given = {name: made[name] if name in made else array(name) for name in inputs}
        (made[node.output[0]],) = _evaluate(onnx, reference, model, node, given)
    del graph.node[:]
    graph.node.extend(kept)
    _keep_used(onnx, graph, weights, made)


def _evaluate(
    onnx: Any, reference: Any, model: Any, node: Any, given: dict[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    helper = onnx.helper
    entries = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), None)
        for name, value in given.items()
    ]
    result = helper.make_tensor_value_info(node.output[0], onnx.TensorProto.UNDEFINED, None)
    graph = helper.make_graph([node], "one", entries, [result])
    single = helper.make_model(graph, opset_imports=model.opset_import)
    return reference.ReferenceEvaluator(single).run(None, given)


def _keep_used(
    onnx: Any, graph: Any, weights: dict[str, Any], made: dict[str, NDArray[Any]]
) -> None:
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    entries = [entry for name, entry in weights.items() if name in used]
    for name, value in made.items():
        if name in used:
            entries.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
    del graph.initializer[:]
    graph.initializer.extend(entries)
