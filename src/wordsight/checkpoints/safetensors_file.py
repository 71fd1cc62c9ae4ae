"""Safetensors files: read tensor by tensor, and written so.

What `write_safetensors` writes is byte for byte what the safetensors library writes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from wordsight.bundle.tensors import StoredTensor, check_safetensors
from wordsight.checkpoints.stored import Source, Span, as_bytes, as_numbers
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.errors import BundleError, CheckpointError
from wordsight.files import atomic_write

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
"""In the library's order: it puts the last of these first in a file, so that all are aligned."""
ALIGNMENT = 8
METADATA = "__metadata__"


def read_safetensors(path: Path) -> WeightFile:
    """Open a safetensors file.

    Raises:
        CheckpointError: if it is damaged or hostile.
    """
    source = Source.of(path)
    try:
        stored = check_safetensors(path)
    except BundleError as error:
        raise CheckpointError(str(error), hint="copy or download it again") from None
    return WeightFile(path, "safetensors", {entry.name: _lazy(source, entry) for entry in stored})


def _lazy(source: Source, entry: StoredTensor) -> LazyTensor:
    span = Span(source, entry.start, entry.num_bytes)
    dtype = DTYPES[entry.dtype]
    return LazyTensor(
        entry.shape, dtype, lambda: as_numbers(span.read(0, span.num_bytes), dtype, entry.shape)
    )


def write_safetensors(
    path: Path, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, with one tensor at a time in memory.

    Args:
        path: file to write, whole or not at all.
        tensors: by name.
        metadata: words about the file; transformers asks for {"format": "pt"}.

    Raises:
        CheckpointError: if the format does not have the type of a tensor, or its name.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in names or name == METADATA:
            raise CheckpointError(f"{path}: cannot hold tensor {name!r} of type {tensor.dtype}")
    rank = {dtype: place for place, dtype in enumerate(DTYPES.values())}
    order = sorted(tensors.items(), key=lambda item: (-rank[item[1].dtype], item[0].encode()))
    header: dict[str, object] = {}
    if metadata:
        header[METADATA] = dict(metadata)
    place = 0
    for name, tensor in order:
        end = place + tensor.num_bytes
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": (place, end),
        }
        place = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, tensor in order:
            value = tensor.read()
            assert (tuple(value.shape), value.dtype) == (tensor.shape, tensor.dtype)
            file.write(as_bytes(value))
