"""From a checkpoint to a model that runs."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from wordsight.checkpoints.checkpoint import Checkpoint
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.model.clip import Clip, build_clip


class ReadOnDemand(Mapping[str, Tensor]):
    """Weights that are read from their file when they are asked for, anew each time."""

    def __init__(self, tensors: Mapping[str, LazyTensor]):
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].read()

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def build(checkpoint: Checkpoint) -> Clip:
    """Build a checkpoint's model in float32; of a file in half precision never all is read."""
    return build_clip(checkpoint.architecture, ReadOnDemand(checkpoint.weights))
