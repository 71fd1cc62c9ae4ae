"""The processes that learn together, as torchrun starts them; one, where it does not.

Every process has its part of each batch, and a copy of the model (DistributedDataParallel) or a
share of it (sharding.py). The loss is shared out between them (model/tiles.py); gradients are
summed. What processes tell each other beside tensors goes over CPUs (gloo), whatever they learn on.
"""

import os
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from wordsight.errors import ConfigError, TrainingError, WordsightError
from wordsight.training.contrastive.config import Sharding

LONGEST_WAIT = timedelta(hours=6)
"""How long the first process may measure or write while the others wait. A process that is gone is
noticed at once, because its connections close."""

T = TypeVar("T")
untyped: Any = dist


@dataclass(frozen=True, slots=True)
class Processes:
    """Who takes part."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    group: Any = None
    """All processes, for tensors on the device; None for a process alone."""
    talk: Any = None
    """All processes, for anything else."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and speaks to people."""
        return self.rank == 0

    def share(self, towers: nn.Module, sharding: Sharding) -> nn.Module:
        """Wrap a model so that its gradients are the mean over all processes.

        Weights that are split up are replaced: optimizers come after.
        """
        if self.group is None:
            return towers
        if sharding == "full":
            from wordsight.training.contrastive.sharding import shard

            return shard(towers, self)
        parallel: Any = nn.parallel.DistributedDataParallel
        with warnings.catch_warnings():
            # the name that it is to have is not known to older torch
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprec", FutureWarning)
            return parallel(towers, process_group=self.group, broadcast_buffers=False)

    def unshared(self, towers: nn.Module) -> AbstractContextManager[Any]:
        """Return the context of a backward pass that another one of the same step follows."""
        without: Any = getattr(towers, "no_sync", None)
        return nullcontext() if without is None else without()

    def scaled(self, loss: Tensor) -> Tensor:
        """Undo the mean over processes: the gradients of the loss are to be summed."""
        return loss * self.count

    def gathered(self, values: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their ranks."""
        if self.group is None:
            return values
        rows = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(rows, values, group=self.group)
        return torch.cat(rows)

    @torch.no_grad()
    def average_statistics(self, module: nn.Module) -> None:
        """Give the batch norms that learn the mean of what all processes counted."""
        if self.group is None:
            return
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
        counted = [b for norm in norms for b in norm.buffers() if b.is_floating_point()]
        if counted:
            together = torch.cat([values.flatten() for values in counted])
            dist.all_reduce(together, group=self.group)
            mean, start = together / self.count, 0
            for values in counted:
                values.copy_(mean[start : start + values.numel()].view_as(values))
                start += values.numel()

    def told(self, value: T | None) -> list[T | None]:
        """Return what every process has to say; cheap when all say None."""
        if self.talk is None:
            return [value]
        speakers = torch.tensor([value is not None], dtype=torch.int32)
        dist.all_reduce(speakers, group=self.talk)
        said: list[T | None] = [None] * self.count
        if int(speakers):
            dist.all_gather_object(said, value, group=self.talk)
        return said

    def agreed(self, work: Callable[[], T]) -> T:
        """Do some work in every process, and go on when all are done and none has failed.

        Raises:
            TrainingError: if other processes failed, with the message of the first of them; a
                process that failed itself raises its own error.
        """
        failure: WordsightError | OSError | None = None
        result: T | None = None
        try:
            result = work()
        except (WordsightError, OSError) as error:
            failure = error
        said = self.told(None if failure is None else str(failure))
        if failure is not None:
            raise failure
        for rank, message in enumerate(said):
            if message is not None:
                raise TrainingError(f"process {rank} of {self.count} failed: {message}")
        return result  # pyright: ignore[reportReturnType] - work() has ended well

    def check_equal(self, value: str, what: str) -> None:
        """Check that all processes have the same of something.

        Raises:
            TrainingError: if they have not.
        """
        said = self.told(value)
        if any(other != said[0] for other in said):
            raise TrainingError(f"the {self.count} processes have different {what}: {said}")

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
    """Join the processes that torchrun started, and leave them at the end.

    Raises:
        TrainingError: if another process is lost on the way.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    has_cuda = device == "auto" and torch.cuda.is_available()
    kind = ("cuda" if has_cuda else "cpu") if device == "auto" else device
    place = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else None
    place = place or torch.device(kind)
    if count == 1:
        yield Processes(device=place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    # where torchrun starts all again it may keep its store, with the addresses of those that died
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = untyped.PrefixStore(f"attempt-{attempt}", next(untyped.rendezvous("env://"))[0])
    dist.init_process_group(
        "nccl" if place.type == "cuda" else "gloo", store=store, rank=rank, world_size=count
    )
    try:
        talk: Any = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
        yield Processes(rank, count, place, dist.group.WORLD, talk)
    except RuntimeError as error:
        if not _is_of_the_connection(error):
            raise
        raise TrainingError(
            f"process {rank} of {count} lost another one: {error}",
            hint="what that one wrote says why; the same command goes on from the last checkpoint",
        ) from error
    finally:
        dist.destroy_process_group()


def _is_of_the_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)
