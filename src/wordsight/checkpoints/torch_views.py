"""How torch writes a tensor: a storage of numbers, and a view of some of them.

A view is an offset, a shape and strides, counted in numbers. Several tensors may look at one
storage: tied weights, or the slices of one large tensor.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.checkpoints.pickled_values import are_sizes, is_size, is_tuple
from wordsight.checkpoints.stored import Span, as_numbers
from wordsight.checkpoints.tensors import LazyTensor


@dataclass(frozen=True, slots=True)
class StorageType:
    """Class of a storage; torch stopped to give them a type of number in 2.0."""

    dtype: torch.dtype | None


@dataclass(frozen=True, slots=True)
class StorageReference:
    """A storage that a pickle speaks of; its numbers are elsewhere in the file."""

    key: str
    dtype: torch.dtype | None
    """None: only a number of bytes."""
    length: int
    """How many numbers, or bytes."""

    @property
    def num_bytes(self) -> int:
        """Size that it claims."""
        return self.length * (1 if self.dtype is None else self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor that a pickle speaks of."""

    storage: StorageReference
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def length(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def extent(self) -> int:
        """How many numbers of the storage lie between its first and its last, both counted."""
        if self.length == 0:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        return 1 + sum((size - 1) * stride for size, stride in pairs)

    @property
    def is_contiguous(self) -> bool:
        """Whether its numbers stand in order without gaps."""
        step = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return True


def reference(identity: object) -> StorageReference:
    """Read the identity by which a pickle speaks of a storage: ("storage", type, key, place, size).

    Raises:
        ValueError: if it is something else.
    """
    if is_tuple(identity) and len(identity) in (5, 6):
        what, kind, key, _, length, *part = identity
        is_whole = not part or part[0] is None  # torch 0.3 was the last to write parts
        if not (what == "storage" and is_whole and isinstance(kind, StorageType)):
            raise ValueError("a reference to something that is not a whole storage")
        if isinstance(key, str) and is_size(length):
            return StorageReference(key, kind.dtype, length)
    raise ValueError("a reference to something that is not a storage")


def view(
    storage: object, offset: object, shape: object, strides: object, dtype: object = None
) -> TensorView:
    """Make a view of a storage; whether it stays inside is checked when the storage is known.

    Raises:
        ValueError: if an argument has the wrong type or cannot be.
    """
    if not isinstance(storage, StorageReference):
        raise ValueError("a tensor that is not on a storage")
    dtype = storage.dtype if dtype is None else dtype
    if not isinstance(dtype, torch.dtype):
        raise ValueError("a tensor without a type of number")
    if not (is_size(offset) and are_sizes(shape) and are_sizes(strides)):
        raise ValueError("a tensor whose offset, shape or strides are not whole numbers from 0 on")
    if len(shape) != len(strides):
        raise ValueError(f"a tensor with {len(shape)} axes and {len(strides)} strides")
    return TensorView(storage, dtype, offset, tuple(shape), tuple(strides))


def lazy_view(part: TensorView, find: Callable[[StorageReference], Span]) -> LazyTensor:
    """Return a view as a tensor that is read when it is asked for.

    Raises:
        ValueError: if it does not fit its storage, or the storage not its place in the file.
    """
    span = find(part.storage)
    item = part.dtype.itemsize
    spare = span.num_bytes - part.storage.num_bytes
    if not 0 <= spare < item:
        raise ValueError(
            f"its storage {part.storage.key!r} claims {part.storage.num_bytes} bytes, "
            f"the file has {span.num_bytes}"
        )
    available = part.storage.num_bytes // item
    end = part.offset + part.extent if part.length else 0  # torch lets an empty one begin anywhere
    if max(end, part.length) > available:
        raise ValueError(
            f"shape {part.shape} with strides {part.strides} from {part.offset} on does not fit "
            f"the {available} numbers of its storage {part.storage.key!r}"
        )
    return LazyTensor(part.shape, part.dtype, lambda: _read(part, span))


def _read(part: TensorView, span: Span) -> Tensor:
    item = part.dtype.itemsize
    raw = span.read(part.offset * item if part.length else 0, part.extent * item)
    if part.is_contiguous or part.length == 0:
        return as_numbers(raw, part.dtype, part.shape)
    line = as_numbers(raw, part.dtype, (part.extent,))
    return line.as_strided(part.shape, part.strides).contiguous()
