"""A graph that multiplies in int8: static, with a scale for each channel of a weight.

Post-training quantisation (Jacob et al., 2018, arXiv 1712.05877, section 2.1): a value r is stored
as q with r = scale (q - zero). Weights have a scale for each output channel and zero = 0;
activations have one uint8 scale for a tensor, from the smallest and greatest value that the
calibration pictures give. Nothing depends on the batch, so a row never depends on its batch-mates.

Multiplied in int8 are convolutions, and matrix products with a weight. What lies between
convolutions (sums, clipped activations) is int8 too, so that a convolutional tower stays in it;
the sums, norms and attention of a transformer stay as they are. ONNX Runtime's quantiser writes the
graph, as pairs of QuantizeLinear and DequantizeLinear, which both engines fuse.
"""

import logging
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from wordsight.model.compression import compress_in_place
from wordsight.model.folding import fold_weights
from wordsight.model.graph import HEAD
from wordsight.packages import require

MULTIPLIED = ("Conv", "Gemm", "MatMul")
BETWEEN = frozenset({"Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool"})
"""Operators that stay in int8 where all they get comes from convolutions."""
EXTRA: dict[str, Any] = {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}
"""What a matrix product gives is not rounded again: it goes into sums and norms."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or matrix product with a weight."""

    name: str
    """For people: that of its weight or bias in the tower."""
    node: str
    weight: str


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A float32 graph, and what its tensors were like on the calibration inputs."""

    model: Any
    """Weights folded; must not be changed."""
    layers: tuple[Layer, ...]
    ranges: Any
    """Smallest and greatest value of each tensor, as ONNX Runtime's quantiser takes them."""


def calibrate(
    model: Any, batches: Sequence[NDArray[Any]], progress: Callable[[int, int], None] | None = None
) -> Calibrated:
    """Run a graph on calibration inputs; `model` is changed: its weights are folded.

    Args:
        model: an ONNX model of one input.
        batches: pixels (N, 3, S, S) or token ids (N, L).
        progress: called with the number of batches done and of all.
    """
    onnx = require("onnx", extra="torch")
    fold_weights(model)
    quantiser = require("onnxruntime.quantization.calibrate", extra="torch")
    quantiser_names = require("onnxruntime.quantization", extra="torch")
    name = str(model.graph.input[0].name)

    class Reader(quantiser_names.CalibrationDataReader):
        def __init__(self) -> None:
            self._places = iter(range(len(batches)))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            place = next(self._places, None)
            if progress:
                progress(len(batches) if place is None else place, len(batches))
            return None if place is None else {name: batches[place]}

    chosen = _nodes(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "graph.onnx"
        onnx.save(model, str(path))
        method = quantiser_names.CalibrationMethod.MinMax
        calibrator = quantiser.create_calibrator(
            path,
            sorted({node.op_type for node in chosen}),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=method,
        )
        calibrator.collect_data(Reader())
        ranges = calibrator.compute_data()
        shaped = Path(folder) / "shaped.onnx"
        onnx.shape_inference.infer_shapes_path(str(path), str(shaped))
        model = onnx.load(str(shaped))
    return Calibrated(model, tuple(_layers(model)), ranges)


def quantise(calibrated: Calibrated, kept: Collection[str] = ()) -> Any:
    """Return the graph with all layers in int8, but for those `kept` (names of `Layer`)."""
    onnx = require("onnx", extra="torch")
    quantiser = require("onnxruntime.quantization.qdq_quantizer", extra="torch")
    types = require("onnxruntime.quantization", extra="torch").QuantType
    model = onnx.ModelProto()
    model.CopyFrom(calibrated.model)
    left = {layer.node for layer in calibrated.layers if layer.name in kept}
    chosen = _nodes(model, left)
    if not chosen:
        return model
    with _quiet():
        made = quantiser.QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=types.QInt8,
            activation_qType=types.QUInt8,
            tensors_range=calibrated.ranges,
            nodes_to_quantize=[node.name for node in chosen],
            nodes_to_exclude=sorted(left),
            op_types_to_quantize=sorted({node.op_type for node in chosen}),
            extra_options=dict(EXTRA),
        )
        made.quantize_model()
    model = made.model.model
    del model.graph.value_info[:]
    compress_in_place(model, "int8", int8=("Gather",))
    return model


def _nodes(model: Any, left: Collection[str] = ()) -> list[Any]:
    """Return the nodes that are quantised: those with a weight, and what lies between convolutions.

    ONNX Runtime has no kernel for int8 weights of more than two axes in matrix products. A head
    stays as it is: it is small, and words are taught to it.
    """
    weights = {entry.name: len(entry.dims) for entry in model.graph.initializer}
    chosen: list[Any] = []
    convolved: set[str] = set()
    for node in model.graph.node:
        if node.name.startswith(HEAD) or node.name in left:
            continue
        if node.op_type in MULTIPLIED and node.input[1] in weights:
            if node.op_type == "Conv" or weights[node.input[1]] == 2:
                chosen.append(node)
                if node.op_type == "Conv":
                    convolved.update(node.output)
        elif node.op_type in BETWEEN and {n for n in node.input if n and n not in weights} <= (
            convolved
        ):
            chosen.append(node)
            convolved.update(node.output)
    return chosen


def _layers(model: Any) -> Iterator[Layer]:
    weights = {entry.name for entry in model.graph.initializer}
    biases = {
        name: bias
        for node in model.graph.node
        if node.op_type == "Add"
        for name, bias in (tuple(node.input), tuple(reversed(node.input)))
        if bias in weights
    }
    taken: set[str] = set()
    for node in _nodes(model):
        if node.op_type not in MULTIPLIED:
            continue
        own = [*node.input[1:], *(biases.get(name, "") for name in node.output)]
        name = next((one for one in own if "." in one), node.name)
        for ending in (".bias", ".weight", "_bias"):
            name = name.removesuffix(ending)
        name = name.removeprefix("joined.").removeprefix("tower.")
        if name in taken:
            name = f"{name} ({node.name})"
        taken.add(name)
        yield Layer(name, node.name, node.input[1])


@contextmanager
def _quiet() -> Generator[None]:
    """Keep ONNX Runtime's quantiser from advising on the root logger what does not apply here."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
