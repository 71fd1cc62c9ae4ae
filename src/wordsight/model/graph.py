"""From towers and heads to self-contained ONNX graphs.

A tower is exported once; a head is appended to its graph node by node, under names that start with
`wordsight.head.`, so that it can be found, read back and replaced later without the tower being
touched. Towers have layers called `head` themselves: the prefix must be one that they do not use.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from wordsight.errors import BundleError
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.outputs import EMBEDDING, FEATURES, LOGITS
from wordsight.packages import require

HEAD = "wordsight.head."
TOWER = "tower."
OUTPUT = "output."
HALF = ".half"
"""Ending of the name of a weight that is stored as float16."""
OPSET = 20
"""The first in which GELU is one operator, which engines have a kernel for."""


def export_tower(
    module: nn.Module,
    example: Tensor,
    path: Path,
    *,
    outputs: Sequence[str],
    dynamic_axes: Sequence[str],
) -> None:
    """Write a torch tower as ONNX with weights inside.

    Args:
        module: maps one tensor to one tensor, or to a tuple of them.
        example: an input of at least two rows.
        path: file to write.
        outputs: a name for each output.
        dynamic_axes: names of the leading axes that may have any size, such as ("batch", "length").
    """
    torch = require("torch", extra="torch")
    axes = {place: torch.export.Dim(name) for place, name in enumerate(dynamic_axes)}
    model = _export(module, example, outputs, axes)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _export(
    module: nn.Module, example: Tensor, outputs: Sequence[str], axes: Mapping[int, Any]
) -> Any:
    torch = require("torch", extra="torch")
    require("onnxscript", extra="torch")
    model = torch.onnx.export(
        module.eval(),
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["pixels" if example.is_floating_point() else "tokens"],
        output_names=list(outputs),
        dynamic_shapes=(dict(axes),),
    ).model_proto
    _drop_metadata(model.graph)
    return model


class _InOrder(nn.Module):
    """A tower that returns some of its named tensors as a tuple, which is what ONNX knows."""

    def __init__(self, tower: nn.Module, names: Sequence[str]):
        super().__init__()
        self.joined, self.names = tower, tuple(names)

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        named = self.joined(batch)
        return tuple(named[name] for name in self.names)


def export_outputs(
    tower: nn.Module, example: Tensor, outputs: Sequence[str], *, max_length: int | None = None
) -> Any:
    """Return a tower that gives named tensors as an ONNX model with weights inside.

    Args:
        tower: maps one tensor to a dictionary of tensors.
        example: an input of at least two rows.
        outputs: those of the tensors to keep.
        max_length: any number of columns up to this is taken; without it, only the example's.
    """
    torch = require("torch", extra="torch")
    axes = {0: torch.export.Dim("batch")}
    if max_length is not None:
        axes[1] = torch.export.Dim("length", max=max_length)
    # Exporters call a token look-up `embedding`, and do not notice an output of that name.
    names = {OUTPUT + name: name for name in outputs}
    model = _export(_InOrder(tower, outputs), example, tuple(names), axes)
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert all(dimensions[place].dim_param for place in axes), "an axis became a constant"
    _rename(model.graph, EMBEDDING, TOWER + EMBEDDING)
    for output in model.graph.output:
        _rename(model.graph, output.name, names[output.name])
        output.name = names[output.name]
    return model


def _drop_metadata(graph: Any) -> None:
    """Drop what the exporter notes of every node: places in files of this machine."""
    for entry in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del entry.metadata_props[:]


def read_graph(path: Path) -> Any:
    """Read an ONNX model.

    Raises:
        BundleError: if the file is not one.
    """
    onnx = require("onnx", extra="torch")
    decode_error = require("google.protobuf.message", extra="torch").DecodeError
    try:
        return onnx.load(str(path), load_external_data=False)
    except (decode_error, OSError) as error:
        raise BundleError(f"{path}: cannot be read as ONNX: {error}") from None


class GraphWriter:
    """Appends nodes and weights to the graph of an ONNX model."""

    def __init__(self, model: Any):
        self._onnx = require("onnx", extra="torch")
        self.model = model

    def constant(self, name: str, value: Any) -> str:
        """Store a weight under `wordsight.head.<name>`."""
        array = np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value)
        tensor = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), HEAD + name)
        self.model.graph.initializer.append(tensor)
        return HEAD + name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node whose result is called `wordsight.head.<name>`."""
        node = self._onnx.helper.make_node(
            operator, list(inputs), [HEAD + name], name=HEAD + name, **attributes
        )
        self.model.graph.node.append(node)
        return HEAD + name

    def finish(self, value: str, width: int) -> None:
        """Normalise `value` to unit length, and make it the output `embedding`."""
        length = self.node("ReduceL2", [value, self.constant("axis", np.array([-1]))], "length")
        floor = self.constant("floor", np.float32(1e-12))
        length = self.node("Max", [length, floor], "positive_length")
        node = self._onnx.helper.make_node(
            "Div", [value, length], [EMBEDDING], name=HEAD + EMBEDDING
        )
        self.model.graph.node.append(node)
        info = self._onnx.helper.make_tensor_value_info(
            EMBEDDING, self._onnx.TensorProto.FLOAT, ["batch", width]
        )
        self.model.graph.output.insert(0, info)


def attach_head(tower: Any, head: ImageHead | TextHead) -> Any:
    """Return a copy of a tower's graph with `head` appended; a head it already has is replaced.

    The tower must have the output `features`, and `logits` if the head has a class branch.
    """
    model = detach_head(tower)
    writer = GraphWriter(model)
    if isinstance(head, TextHead):
        mean = writer.constant("mean", head.mean)
        x = writer.node("Sub", [FEATURES, mean], "centred")
        weight = writer.constant("linear.weight", head.linear.weight.mT)
        writer.finish(writer.node("MatMul", [x, weight], "projected"), head.linear.out_features)
        return model
    x = writer.node("Sub", [FEATURES, writer.constant("mean", head.mean)], "centred")
    x = writer.node("Div", [x, writer.constant("deviation", head.deviation)], "standardised")
    weight = writer.constant("linear.weight", head.linear.weight.mT)
    x = writer.node("MatMul", [x, weight], "projected")
    x = writer.node("Add", [x, writer.constant("linear.bias", head.linear.bias)], "shifted")
    if head.classes is not None:
        sharp = writer.node("Mul", [LOGITS, writer.constant("sharpness", head.sharpness)], "sharp")
        probability = writer.node("Softmax", [sharp], "probability", axis=-1)
        weight = writer.constant("classes.weight", head.classes.weight.mT)
        named = writer.node("MatMul", [probability, weight], "named")
        x = writer.node("Add", [x, named], "sum")
    writer.finish(x, head.linear.out_features)
    return model


def detach_head(model: Any) -> Any:
    """Return a copy of a graph without its head: outputs `features` and perhaps `logits`."""
    onnx = require("onnx", extra="torch")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for entries in (graph.node, graph.initializer):
        kept = [entry for entry in entries if not entry.name.startswith(HEAD)]
        del entries[:]
        entries.extend(kept)
    kept = [output for output in graph.output if output.name != EMBEDDING]
    del graph.output[:]
    graph.output.extend(kept)
    _rename(graph, EMBEDDING, TOWER + EMBEDDING)  # exporters call a token look-up so
    return copy


def _rename(graph: Any, old: str, new: str) -> None:
    """Give a value inside a graph, and inside the graphs of its nodes, another name."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, old, new)
    for entry in (*graph.initializer, *graph.value_info):
        if entry.name == old:
            entry.name = new


def head_weights(model: Any) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a graph's head by their names in torch; empty if it has no head."""
    onnx = require("onnx", extra="torch")
    weights: dict[str, NDArray[np.float32]] = {}
    for entry in model.graph.initializer:
        if entry.name.startswith(HEAD):
            name = entry.name.removeprefix(HEAD).removesuffix(HALF)
            weights[name] = onnx.numpy_helper.to_array(entry).astype(np.float32)
    return weights


def read_image_head(model: Any) -> ImageHead | None:
    """Rebuild the head of an image graph as a torch module; None if it has none."""
    weights = head_weights(model)
    if "linear.bias" not in weights:
        return None
    num_features, embed_dim = _shape(weights)
    num_classes = len(weights.get("classes.weight", ()))
    head = ImageHead(num_features, num_classes, embed_dim)
    if head.classes is None:  # without classes there is nothing to sharpen, and none in the graph
        weights.setdefault("sharpness", head.sharpness.numpy())
    _fill(head, weights)
    return head


def read_text_head(model: Any) -> TextHead | None:
    """Rebuild the head of a text graph as a torch module; None if it has none."""
    weights = head_weights(model)
    if "linear.weight" not in weights:
        return None
    head = TextHead(*_shape(weights))
    _fill(head, weights)
    return head


def _shape(weights: dict[str, NDArray[np.float32]]) -> tuple[int, int]:
    weight = weights.get("linear.weight")
    if weight is None or weight.ndim != 2:
        raise BundleError("the head of the graph is damaged: it has no matrix 'linear.weight'")
    return weight.shape[0], weight.shape[1]


def _fill(head: nn.Module, weights: dict[str, NDArray[np.float32]]) -> None:
    torch = require("torch", extra="torch")
    state: dict[str, Tensor] = {}
    for name in head.state_dict():
        if name not in weights:
            raise BundleError(f"the head of the graph is damaged: {name!r} is missing")
        value = weights[name].T if name.endswith(".weight") else weights[name]
        state[name] = torch.from_numpy(np.ascontiguousarray(value))
    try:
        head.load_state_dict(state)
    except RuntimeError as error:
        raise BundleError(f"the head of the graph is damaged: {error}") from None
    head.eval()
