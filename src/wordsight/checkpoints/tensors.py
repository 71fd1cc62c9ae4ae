"""Tensors that stay in their file until somebody asks for one.

A checkpoint can be as large as the memory: nothing here ever holds more than one tensor of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Container = Literal["safetensors", "torch", "torchscript", "numpy"]


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor known by shape and type; `read` brings its numbers into memory, anew each time."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    read_entry: Callable[[int], Tensor] | None = None
    """Brings one entry of the first axis, where that can be had without the others."""

    @property
    def num_bytes(self) -> int:
        """Size of the numbers, in bytes."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


def in_memory(tensor: Tensor) -> LazyTensor:
    """Return a tensor that is in memory already, as one of a file."""
    return LazyTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """The tensors of one file, or of a set of shards, by the names they have there."""

    path: Path
    """File, or index of the shards; for messages."""
    container: Container
    tensors: Mapping[str, LazyTensor]
