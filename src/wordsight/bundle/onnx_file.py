"""Looking over an ONNX file before an engine opens it.

An ONNX graph is data, but it may name other files as the home of its weights ("external data"), and
engines follow such names wherever they lead. A bundle keeps its weights inside, so any such name is
refused. The file is walked as raw protocol buffers: no package is needed, and nothing is executed.
"""

from collections.abc import Generator
from pathlib import Path

from wordsight.errors import BundleError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto that lead from a model to its tensors.
NESTED = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14
MAX_DEPTH = 32


def check_onnx(path: Path) -> None:
    """Check that a file has the outline of an ONNX model and keeps its weights inside.

    Raises:
        BundleError: if it is not ONNX, or names another file.
    """
    content = memoryview(path.read_bytes())
    try:
        has_graph = any(field == 7 for field, _, _ in _fields(content))
        external = _has_external_data(content, "model", 0)
    except (IndexError, ValueError):
        raise BundleError(f"{path}: not an ONNX file, or a damaged one") from None
    if not has_graph:
        raise BundleError(f"{path}: not an ONNX file: it holds no graph")
    if external:
        raise BundleError(
            f"{path}: keeps weights in other files, which a bundle may not",
            hint="save the graph with its weights inside",
        )


def _has_external_data(message: memoryview, kind: str, depth: int) -> bool:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    for field, wire, value in _fields(message):
        if kind == "tensor" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value)):
            return True
        inner = NESTED[kind].get(field)
        if inner is None or wire != BYTES:
            continue
        assert isinstance(value, memoryview)
        if _has_external_data(value, inner, depth + 1):
            return True
    return False


def _fields(message: memoryview) -> Generator[tuple[int, int, int | memoryview]]:
    """Yield field number, wire type and value of every field of a message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key >> 32:  # readers that keep 32 bits only would see another field
            raise ValueError("field number too large")
        field, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
        elif wire == BYTES:
            size, place = _varint(message, place)
            value, place = message[place : place + size], place + size
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            value, place = message[place : place + size], place + size
        else:
            raise ValueError(f"wire type {wire}")
        if place > len(message):
            raise ValueError("cut short")
        yield field, wire, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("number too long")
