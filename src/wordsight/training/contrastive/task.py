"""What a run learns: which weights, by which loss, and which weights are the model at the end.

Modules that a task hangs into the model - a classifier, words of a prompt - are learnt,
checkpointed and resumed with it, because everything of the model is.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wordsight.model.clip import Clip
from wordsight.model.losses import info_nce, sigmoid
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import NOTHING, Batch
from wordsight.training.contrastive.optimizer import lock
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.step import Loss, Outputs, Towers


class Task(Protocol):
    """A thing to learn."""

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Change a model so that exactly what is to be learnt requires gradients."""
        ...

    def towers(self, clip: Clip) -> nn.Module:
        """Return what a step runs: pixels and tokens to what the loss needs."""
        ...

    def set_mode(self, clip: Clip, config: TrainConfig) -> None:
        """Put every part of a model into the mode that it learns in."""
        ...

    def loss(self, batch: Batch, config: TrainConfig, processes: Processes) -> Loss:
        """Return the objective of a batch."""
        ...

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the plain model out of what is learnt, by name."""
        ...


class Contrast:
    """Both towers, or the one that is not locked, from pairs: figure 3 of the paper."""

    def prepare(self, clip: Clip, config: TrainConfig) -> None:
        """Lock what the settings lock."""
        lock(clip, config.lock)

    def towers(self, clip: Clip) -> nn.Module:
        """Run both towers."""
        return Towers(clip)

    def set_mode(self, clip: Clip, config: TrainConfig) -> None:
        """Let everything learn but a locked tower, whose batch statistics stay."""
        clip.train()
        locked = {"image": clip.image, "text": clip.text}.get(config.lock)
        if locked is not None:
            locked.eval()

    def loss(self, batch: Batch, config: TrainConfig, processes: Processes) -> Loss:
        """Compare every picture with every sentence."""
        options: dict[str, Any] = {"group": processes.group}
        if config.shared_captions or config.hard_negatives:
            options["positives"] = matches(batch, processes, is_shared=config.shared_captions)
        if config.hard_negatives:
            options["ignored"] = left_out(batch, processes)
        if config.loss == "sigmoid":
            return lambda outputs: sigmoid(*outputs, **options)
        options["smoothing"] = config.smoothing

        def loss(outputs: Outputs) -> Tensor:
            images, texts, log_scale = outputs
            return info_nce(images, texts, log_scale, **options)

        return loss

    def weights(self, clip: Clip, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights as they are."""
        return dict(state)


Mask = Callable[[slice, slice], Tensor]
"""Of pictures and of sentences, by their places in the batch of all processes."""


def matches(batch: Batch, processes: Processes, *, is_shared: bool) -> Mask:
    """Say that a picture goes with its own sentence; where sentences are shared, also with equal
    ones of others, and with those of pictures of which the same is said.

    The sentences of a picture stand together, the true one before its negatives; a negative goes
    with whoever says it.
    """
    size, count = batch.negative_texts.shape
    own = torch.stack([batch.images, batch.texts, batch.said], dim=1)
    texts = torch.stack([batch.texts, *batch.negative_texts.unbind(1)], dim=1)
    columns = torch.full((size, 1 + count, 3), NOTHING)
    columns[:, :, 1] = texts
    columns[:, 0] = own
    rows = processes.gathered(own.to(processes.device))
    columns = processes.gathered(columns.flatten(0, 1).to(processes.device))

    def shared(row: slice, column: slice) -> Tensor:
        return (rows[row, None] == columns[None, column]).any(dim=-1)

    def paired(row: slice, column: slice) -> Tensor:
        pictures = torch.arange(row.start, row.stop, device=rows.device)
        places = torch.arange(column.start, column.stop, device=rows.device)
        return pictures[:, None] * (1 + count) == places

    return shared if is_shared else paired


def left_out(batch: Batch, processes: Processes) -> Mask:
    """Say which sentences are only places, of pictures with too few negatives."""
    there = torch.zeros(len(batch.images), 1, dtype=torch.int64)
    texts = torch.cat([there, batch.negative_texts], dim=1).flatten()
    missing = processes.gathered((texts == NOTHING).to(processes.device))
    return lambda row, column: missing[None, column].expand(row.stop - row.start, -1)
