"""Archives of numpy.savez and numpy.savez_compressed, such as big_vision's.

Each member is an array: a magic number, a header in the syntax of Python, the numbers. The header
is matched against what numpy writes and never evaluated; arrays of objects, which numpy stores as
pickles, are refused.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wordsight.checkpoints.stored import as_numbers
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.checkpoints.zip_archive import STORED, Member, ZipArchive
from wordsight.errors import CheckpointError

MAGIC = b"\x93NUMPY"
MAX_AXES = 32
MAX_HEADER_BYTES = 10_000
ENDING = ".npy"
MAX_RATIO = 64
SPARE_BYTES = 64 << 20
"""An archive may unpack to 64 times its size, and to this much in any case."""
HEADER = re.compile(
    r"\{'descr': '([<>|=]?)([a-zA-Z])(\d*)', 'fortran_order': (True|False), "
    r"'shape': \((\d{1,18}L?(?:, ?\d{1,18}L?)*)?,?\),? *\}\s*"
)
DTYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "V2": torch.bfloat16,  # numpy has no name for it: jax writes two bytes of anything
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "u2": torch.uint16,
    "u4": torch.uint32,
    "u8": torch.uint64,
    "b1": torch.bool,
}
OBJECTS = "O"
SAVE = "load it where you trust it, and save its arrays with numpy.savez(path, **arrays)"


@dataclass(frozen=True, slots=True)
class _Header:
    dtype: torch.dtype
    shape: tuple[int, ...]
    is_fortran: bool
    is_swapped: bool
    num_bytes: int
    """Size of the header itself, from the first byte of the file."""


def read_numpy_archive(archive: ZipArchive) -> WeightFile:
    """Open the arrays of an archive.

    Raises:
        CheckpointError: naming the array, if it is damaged, hostile, or not plain numbers.
    """
    path = archive.path
    total = sum(member.num_bytes for member in archive.members.values())
    if total > archive.source.num_bytes * MAX_RATIO + SPARE_BYTES:
        raise CheckpointError(
            f"{path}: {archive.source.num_bytes} bytes claim to unpack to {total}: "
            "not what numbers of a model do",
            hint="write it with numpy.savez, which does not pack",
        )
    tensors: dict[str, LazyTensor] = {}
    for name, member in archive.members.items():
        if not name.endswith(ENDING):
            raise CheckpointError(f"{path}: member {name!r} is not an array ({ENDING})")
        tensors[name.removesuffix(ENDING)] = _lazy(archive, member)
    return WeightFile(path, "numpy", tensors)


def refuse_single_array(path: Path, head: bytes) -> CheckpointError:
    """Say why a .npy file is no checkpoint; `head` is its begin."""
    try:
        _parse(head)
    except ValueError as error:
        return CheckpointError(f"{path}: {error}", hint=SAVE)
    return CheckpointError(f"{path}: one array without a name, not a model", hint=SAVE)


def _lazy(archive: ZipArchive, member: Member) -> LazyTensor:
    pieces = archive.chunks(member)
    head = b""
    while len(head) < MAX_HEADER_BYTES and (piece := next(pieces, b"")):
        head += piece
    pieces.close()
    try:
        header = _parse(head)
        size = math.prod(header.shape) * header.dtype.itemsize
        if header.num_bytes + size != member.num_bytes:
            raise ValueError(
                f"shape {header.shape} takes {size} bytes, "
                f"it has {member.num_bytes - header.num_bytes}"
            )
    except ValueError as error:
        raise CheckpointError(
            f"{archive.path}: array {member.name!r}: {error}", hint=SAVE
        ) from None
    is_plain = member.method == STORED and not (header.is_fortran or header.is_swapped)
    return LazyTensor(
        header.shape,
        header.dtype,
        lambda: _read(archive, member, header),
        _Entries(archive, member, header) if is_plain and header.shape else None,
    )


class _Entries:
    """Entries of the first axis, such as one layer of an array that holds all of a model's.

    The checksum is that of the whole array, so the whole is looked through once, before the first.
    """

    def __init__(self, archive: ZipArchive, member: Member, header: _Header):
        self._archive, self._member, self._header = archive, member, header
        self._is_verified = False

    def __call__(self, index: int) -> Tensor:
        if not self._is_verified:
            for _ in self._archive.chunks(self._member):
                pass
            self._is_verified = True
        shape, dtype = self._header.shape[1:], self._header.dtype
        size = math.prod(shape) * dtype.itemsize
        start = self._header.num_bytes + index * size
        return as_numbers(self._archive.span(self._member).read(start, size), dtype, shape)


def _parse(head: bytes) -> _Header:
    """Read the header of a .npy file, format version 1 to 3 (numpy.lib.format)."""
    if not head.startswith(MAGIC) or len(head) < 12 or head[6] not in (1, 2, 3):
        raise ValueError("not a .npy array")
    begin = 10 if head[6] == 1 else 12
    end = begin + int.from_bytes(head[8:begin], "little")
    if "'descr': [" in (text := head[begin:end].decode("latin-1")):
        raise ValueError("an array of records, not of numbers")
    found = HEADER.fullmatch(text)
    if found is None or end > len(head):
        raise ValueError("the header of the .npy array is damaged or too long")
    order, kind, size, fortran, shape = found.groups()
    if kind == OBJECTS:
        raise ValueError("holds pickled Python objects, which can run code and are never opened")
    dtype = DTYPES.get(kind + size)
    axes = tuple(int(axis.rstrip("L")) for axis in re.findall(r"\d+L?", shape or ""))
    if dtype is None or len(axes) > MAX_AXES:
        raise ValueError(f"an array of type {kind + size!r} with {len(axes)} axes is not read")
    is_swapped = order == ">" and dtype.itemsize > 1
    return _Header(dtype, axes, fortran == "True", is_swapped, end)


def _read(archive: ZipArchive, member: Member, header: _Header) -> Tensor:
    raw = torch.empty(member.num_bytes - header.num_bytes, dtype=torch.uint8)
    numbers = raw.numpy()
    place = 0
    for piece in _after(archive.chunks(member), header.num_bytes):
        numbers[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
        place += len(piece)
    if header.is_swapped:
        numbers.view(f"u{header.dtype.itemsize}").byteswap(inplace=True)
    if not header.is_fortran:
        return as_numbers(raw, header.dtype, header.shape)
    flipped = as_numbers(raw, header.dtype, header.shape[::-1])
    return flipped.permute(*reversed(range(flipped.ndim))).contiguous()


def _after(pieces: Iterator[bytes], skipped: int) -> Iterator[memoryview]:
    """Leave out the first bytes."""
    for piece in pieces:
        rest = memoryview(piece)[min(skipped, len(piece)) :]
        skipped -= len(piece) - len(rest)
        yield rest
