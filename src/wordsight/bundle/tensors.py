"""Looking over a safetensors file before it is mapped into memory.

The format (huggingface/safetensors): 8 bytes with the length of a JSON header, the header with
type, shape and byte range of every tensor, then the tensors without gap or overlap.
"""

import json
import math
from pathlib import Path
from typing import Any

from wordsight.errors import BundleError

MAX_HEADER_BYTES = 100_000_000
TYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


def check_safetensors(path: Path) -> None:
    """Check that the header is sane and that the tensors fill the file exactly.

    Raises:
        BundleError: naming the file, the tensor and what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise BundleError(f"{path}: not a safetensors file, or cut short")
        raw = file.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_unique)
        ranges = sorted(
            _byte_range(name, entry) for name, entry in header.items() if name != "__metadata__"
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: damaged safetensors header: {error}") from None
    place = 0
    for start, end, name in ranges:
        if start != place:
            raise BundleError(f"{path}: tensor {name!r} overlaps another, or leaves a gap")
        place = end
    if place != size - 8 - length:
        raise BundleError(f"{path}: holds {size - 8 - length} bytes of tensors, expected {place}")


def _byte_range(name: str, entry: dict[str, Any]) -> tuple[int, int, str]:
    start, end = entry["data_offsets"]
    shape = entry["shape"]
    numbers = (start, end, *shape)
    if not all(isinstance(value, int) and value >= 0 for value in numbers):
        raise ValueError(f"tensor {name!r} has a shape or offsets that are not whole numbers")
    if end - start != math.prod(shape) * TYPE_BYTES[entry["dtype"]]:
        raise ValueError(f"tensor {name!r}: shape {shape} does not fit its {end - start} bytes")
    return start, end, name


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) != len(items):
        raise ValueError("a name stands twice")
    return values
