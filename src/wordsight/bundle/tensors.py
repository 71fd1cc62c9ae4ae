"""Looking over a safetensors file before it is mapped into memory.

The format (huggingface/safetensors): 8 bytes with the length of a JSON header, the header with
type, shape and byte range of every tensor, then the tensors without gap or overlap.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.errors import BundleError

MAX_HEADER_BYTES = 100_000_000
MAX_AXES = 64
MAX_NUMBER = 1 << 62
TYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One entry of the header."""

    name: str
    dtype: str
    """As in `TYPE_BYTES`."""
    shape: tuple[int, ...]
    start: int
    """Place of its first byte in the file."""
    num_bytes: int


def check_safetensors(path: Path) -> tuple[StoredTensor, ...]:
    """Check that the header is sane and that the tensors fill the file exactly; return its entries.

    Raises:
        BundleError: naming the file, the tensor and what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise BundleError(f"{path}: not a safetensors file, or cut short")
        raw = file.read(length)
    begin = 8 + length
    try:
        header = json.loads(raw, object_pairs_hook=_unique)
        tensors = tuple(
            _stored(name, entry, begin) for name, entry in header.items() if name != "__metadata__"
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: damaged safetensors header: {error}") from None
    place = begin
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.num_bytes)):
        if tensor.start != place:
            raise BundleError(f"{path}: tensor {tensor.name!r} overlaps another, or leaves a gap")
        place += tensor.num_bytes
    if place != size:
        raise BundleError(
            f"{path}: holds {size - begin} bytes of tensors, expected {place - begin}"
        )
    return tensors


def _stored(name: str, entry: dict[str, Any], begin: int) -> StoredTensor:
    name.encode()  # a name that is no text could not even be printed
    start, end = entry["data_offsets"]
    shape = entry["shape"]
    numbers = (start, end, *shape)
    if not all(isinstance(value, int) and 0 <= value < MAX_NUMBER for value in numbers):
        raise ValueError(f"tensor {name!r} has a shape or offsets that are not whole numbers")
    if len(shape) > MAX_AXES:
        raise ValueError(f"tensor {name!r} has {len(shape)} axes, at most {MAX_AXES} are read")
    if end - start != math.prod(shape) * TYPE_BYTES[entry["dtype"]]:
        raise ValueError(f"tensor {name!r}: shape {shape} does not fit its {end - start} bytes")
    return StoredTensor(name, entry["dtype"], tuple(shape), begin + start, end - start)


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) != len(items):
        raise ValueError("a name stands twice")
    return values
