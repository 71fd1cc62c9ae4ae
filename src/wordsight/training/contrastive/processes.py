"""The processes that learn together, as torchrun starts them; one, where it does not.

Every process holds a copy of the model and its part of each batch. The loss is shared out between
them (model/tiles.py); gradients are summed by DistributedDataParallel.
"""

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wordsight.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Processes:
    """Who takes part."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and speaks to people."""
        return self.rank == 0

    def share(self, towers: nn.Module) -> nn.Module:
        """Wrap a model so that its gradients are those of all processes."""
        if self.group is None:
            return towers
        parallel: Any = nn.parallel.DistributedDataParallel
        return parallel(towers, process_group=self.group, broadcast_buffers=True)

    def unshared(self, towers: nn.Module) -> AbstractContextManager[Any]:
        """Return the context of a backward pass that another one of the same step follows."""
        if isinstance(towers, nn.parallel.DistributedDataParallel):
            parallel: Any = towers
            return parallel.no_sync()
        return nullcontext()

    def scaled(self, loss: Tensor) -> Tensor:
        """Undo the mean that DistributedDataParallel takes: the gradients are to be summed."""
        return loss * self.count

    def gathered(self, values: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their ranks."""
        if self.group is None:
            return values
        rows = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(rows, values, group=self.group)
        return torch.cat(rows)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.group is not None:
            dist.barrier(group=self.group)

    def check(self, batch_size: int) -> None:
        """Check that every process gets as many pairs.

        Raises:
            ConfigError: if the batch does not divide.
        """
        if batch_size % self.count:
            raise ConfigError(
                f"batch_size {batch_size} does not divide between {self.count} processes",
                hint=f"try {batch_size // self.count * self.count or self.count}",
            )


@contextmanager
def joined(device: str = "auto") -> Generator[Processes]:
    """Join the processes that torchrun started, and leave them at the end."""
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    has_cuda = device == "auto" and torch.cuda.is_available()
    kind = ("cuda" if has_cuda else "cpu") if device == "auto" else device
    place = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else None
    place = place or torch.device(kind)
    if count == 1:
        yield Processes(device=place)
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, place, dist.group.WORLD)
    finally:
        dist.destroy_process_group()
