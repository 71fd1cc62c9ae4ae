"""How many operations one picture and one sentence take: of the architecture, or of the graph.

One multiply-add is two operations, and only matrix products and convolutions count, as in
`wordsight.model.size`. Where the towers are of the CLIP family, the operations are those of the
architecture as it is published. Any other graph is run once by ONNX Runtime, which notes
the shapes of every node; nothing is fused for that, so the nodes are those of the file.

Shape letters: N batch, M K N of a matrix product, O outputs, I inputs of a convolution.
"""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle, BundleConfig
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH
from wordsight.engine.source import Source
from wordsight.errors import ConfigError
from wordsight.model.architecture import ClipConfig, TextTransformerConfig, read_description
from wordsight.model.outputs import EMBEDDING
from wordsight.model.size import measure
from wordsight.packages import is_installed, require

PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul")
CONVOLUTIONS: Mapping[str, int] = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Nodes that convolve, and the place of the weights among their inputs."""
UNKNOWN = frozenset(
    {"Attention", "ConvTranspose", "DeformConv", "Einsum", "GRU", "LSTM", "MatMulNBits"}
    | {"MultiHeadAttention", "RNN"}
)
"""Nodes that multiply much, and are not counted here."""
Shape = Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """What one picture and one sentence cost; None where that could not be counted."""

    picture: float | None
    sentence: float | None
    tokens: int
    """Length of the sentence."""
    counted_by: str
    """architecture, graph, or nothing."""
    reason: str = ""
    """Why something could not be counted."""


def count_operations(source: Source, *, tokens: int) -> Operations:
    """Count the operations of a model, for a sentence of some length."""
    config = architecture_of(source.config)
    if config is not None:
        text = replace(config.text, context_length=min(tokens, config.text.context_length))
        size = measure(replace(config, text=text))
        return Operations(
            picture=size.image.operations,
            sentence=size.text.operations,
            tokens=tokens,
            counted_by="architecture",
        )
    if not (isinstance(source, Bundle) and source.has_graphs):
        return _uncounted(tokens, "its towers are of no known architecture, and it has no graphs")
    if not is_installed("onnxruntime"):
        return _uncounted(tokens, "counting a graph takes the package onnxruntime")
    side = source.config.preprocessing.size
    pixels, ids = np.zeros((1, 3, side, side), np.float32), np.ones((1, tokens), np.int64)
    try:
        picture = graph_operations(source.path / IMAGE_GRAPH, pixels)
        sentence = graph_operations(source.path / TEXT_GRAPH, ids) if source.has_text else None
    except ValueError as error:
        return _uncounted(tokens, str(error))
    return Operations(picture=picture, sentence=sentence, tokens=tokens, counted_by="graph")


def architecture_of(config: BundleConfig) -> ClipConfig | None:
    """Return the towers that config.json describes; None if they are not of the CLIP family."""
    try:
        image, text = (
            read_description(cast(Mapping[str, Any], config.architecture.get(side, {})), where=side)
            for side in ("image", "text")
        )
        if isinstance(image, TextTransformerConfig) or not isinstance(text, TextTransformerConfig):
            return None
        return ClipConfig(image=image, text=text, embed_dim=config.embed_dim)
    except (ConfigError, ValueError):
        return None


def graph_operations(path: Path, batch: NDArray[Any]) -> float:
    """Return the operations that a graph takes for a batch.

    Raises:
        ValueError: if a node multiplies in a way that is not known here.
    """
    runtime = require("onnxruntime", extra="torch")
    with tempfile.TemporaryDirectory() as folder:
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = runtime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        session.run([EMBEDDING], {session.get_inputs()[0].name: batch})
        notes = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [note["args"] for note in notes if note["name"].endswith("_kernel_time")]
    return float(sum(node_operations(node) for node in nodes))


def node_operations(node: Mapping[str, Any]) -> int:
    """Return the operations of one node of a profile.

    Raises:
        ValueError: if it multiplies in a way that is not known here.
    """
    name = str(node["op_name"])
    if name in UNKNOWN:
        raise ValueError(f"the graph has a node {name}, whose operations are not counted here")
    inputs, outputs = (_shapes(node[key]) for key in ("input_type_shape", "output_type_shape"))
    if name in PRODUCTS:
        return 2 * math.prod(outputs[0]) * inputs[0][-1]
    if name == "Gemm":  # its first matrix may be turned over
        return 2 * math.prod(inputs[0]) * outputs[0][-1]
    if name in CONVOLUTIONS:
        weights = inputs[CONVOLUTIONS[name]]  # (O, I / groups, height, width)
        return 2 * math.prod(outputs[0]) * math.prod(weights[1:])
    return 0


def _shapes(entries: Sequence[Mapping[str, Shape]]) -> list[Shape]:
    """Return the shapes of some arrays; that of one left out is empty."""
    return [next(iter(entry.values()), ()) for entry in entries]


def _uncounted(tokens: int, reason: str) -> Operations:
    return Operations(picture=None, sentence=None, tokens=tokens, counted_by="", reason=reason)
