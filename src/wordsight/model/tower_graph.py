"""A tower with its head as one self-contained ONNX graph, with weights of the precision asked for.

A linear head of a text tower is appended as `wordsight.model.graph` appends learnt heads, so that
`wordsight.teach` can write words into it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wordsight.errors import CapacityError
from wordsight.model.clip import Projection
from wordsight.model.compression import Precision, compress_in_place
from wordsight.model.graph import attach_head, export_outputs
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.outputs import EMBEDDING
from wordsight.model.text_transformer import TextTransformer

MAX_GRAPH_BYTES = (1 << 31) - (1 << 24)
"""A protocol buffer, which ONNX is, holds 2 GiB; the nodes need some of it."""
BYTES_PER_WEIGHT: Mapping[Precision, int] = {"float32": 4, "float16": 2, "int8": 1}


def check_capacity(tower: nn.Module, precision: Precision, *, where: str) -> None:
    """Check that the weights of a tower fit into one ONNX file.

    Raises:
        CapacityError: if they do not; the hint names a precision that does.
    """
    num_weights = sum(parameter.numel() for parameter in tower.parameters())
    if num_weights * BYTES_PER_WEIGHT[precision] <= MAX_GRAPH_BYTES:
        return
    fitting = [p for p, size in BYTES_PER_WEIGHT.items() if num_weights * size <= MAX_GRAPH_BYTES]
    raise CapacityError(
        f"{where}: {num_weights:,} weights as {precision} are more than the 2 GiB of an ONNX file, "
        "and a model keeps no weights in other files",
        hint=f"choose --precision {fitting[0]}" if fitting else "run it on torch",
    )


def tower_graph(
    tower: Any, example: Tensor, precision: Precision, *, max_length: int | None = None
) -> Any:
    """Return a tower that gives named tensors as an ONNX model.

    Args:
        tower: as of `wordsight.model.two_tower` or `wordsight.model.clip`.
        example: an input of two rows.
        precision: how large weights are stored.
        max_length: any number of columns up to this is taken; without it, only the example's.
    """
    outputs: list[str] = list(tower.outputs)
    head = _appended(tower)
    if head is not None:
        outputs.remove(EMBEDDING)
    model = export_outputs(tower, example, outputs, max_length=max_length)
    if head is not None:
        model = attach_head(model, head)
    compress_in_place(model, precision)
    return model


def _appended(tower: Any) -> ImageHead | TextHead | None:
    """Return the head that is appended to the graph of the tower, not exported with it."""
    head = tower.head
    if isinstance(head, (ImageHead, TextHead)):
        return head
    is_linear = isinstance(head, Projection) and "linear.bias" not in head.state_dict()
    if not (is_linear and isinstance(tower.tower, TextTransformer)):
        return None
    embed_dim, num_features = head.linear.weight.shape
    with torch.device("meta"):
        linear = TextHead(num_features, embed_dim)
    mean = torch.zeros(num_features)
    linear.load_state_dict({"mean": mean, "linear.weight": head.linear.weight}, assign=True)
    return linear
