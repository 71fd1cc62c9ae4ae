"""How a contrastive loss walks over the similarities of a batch without ever holding them all.

Over several processes (`group`) each holds its own pictures and sentences. The sentences are
gathered, every process looks at its own pictures times all sentences, so nothing is computed twice
and the pictures never travel.

Shape letters: N pictures of this process, M sentences of all processes, E joint space.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Mask = Callable[[slice, slice], Tensor | None]
"""Says which pictures (rows) and sentences (columns) go together, by their places in the whole
batch, as a boolean block; None for a block in which none do."""


def diagonal(rows: slice, columns: slice) -> Tensor | None:
    """Say that picture i goes with sentence i and with no other."""
    if rows.stop <= columns.start or columns.stop <= rows.start:
        return None
    left = torch.arange(rows.start, rows.stop)
    return left[:, None] == torch.arange(columns.start, columns.stop)


def from_matrix(matrix: Tensor) -> Mask:
    """Say what a boolean matrix (N, M) of the whole batch says."""
    return lambda rows, columns: matrix[rows, columns]


@dataclass(frozen=True, slots=True)
class Tile:
    """A block of pictures and sentences, by their places in this process."""

    rows: slice
    columns: slice


@dataclass(frozen=True, slots=True)
class Batch:
    """The vectors of one step, as one process sees them."""

    images: Tensor
    """(N, E) of this process."""
    texts: Tensor
    """(M, E) of all processes."""
    side: int
    """Rows and columns of a tile."""
    group: Any
    """Processes that share the batch, or None."""

    @staticmethod
    def gather(images: Tensor, texts: Tensor, side: int, group: Any) -> "Batch":
        """Collect the sentences of all processes, in float32: half precision loses small terms."""
        images, texts = images.float().contiguous(), texts.float().contiguous()
        if group is not None:
            everyone = texts.new_empty((len(texts) * dist.get_world_size(group), texts.shape[1]))
            dist.all_gather(list(everyone.chunk(dist.get_world_size(group))), texts, group=group)
            texts = everyone
        return Batch(images, texts, side, group)

    @property
    def rank(self) -> int:
        """Place of this process in the group."""
        return 0 if self.group is None else dist.get_rank(self.group)

    def __iter__(self) -> Generator[Tile]:
        for row in range(0, len(self.images), self.side):
            for column in range(0, len(self.texts), self.side):
                yield Tile(
                    slice(row, min(row + self.side, len(self.images))),
                    slice(column, min(column + self.side, len(self.texts))),
                )

    def cosines(self, tile: Tile) -> Tensor:
        """Return the products of one tile."""
        return self.images[tile.rows] @ self.texts[tile.columns].mT

    def block(self, mask: Mask, tile: Tile) -> Tensor | None:
        """Return what a mask says of one tile, on the device of the vectors."""
        first = self.rank * len(self.images)
        rows = slice(first + tile.rows.start, first + tile.rows.stop)
        found = mask(rows, tile.columns)
        return None if found is None else found.to(self.images.device)

    def summed(self, values: Tensor) -> Tensor:
        """Add up over all processes."""
        if self.group is not None:
            dist.all_reduce(values, group=self.group)
        return values

    def log_summed(self, peak: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
        """Add up `mass` times exp(`peak`) over all processes, and return it in the same way."""
        if self.group is None:
            return peak, mass
        largest = peak.clone()
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=self.group)
        return largest, self.summed(mass * (peak - largest).exp())

    def own_texts(self, grad: Tensor) -> Tensor:
        """Return the sum over processes of a gradient (M, E), for the sentences of this one."""
        if self.group is None:
            return grad
        size = len(self.texts) // dist.get_world_size(self.group)
        return self.summed(grad)[self.rank * size : (self.rank + 1) * size]
