"""A model split up between processes (FSDP2): each holds its share of every weight and moment.

The weights of a layer are gathered while it works and dropped again (Zhao et al., 2023, arXiv
2304.11277). Scale and bias of the similarities have no axis to split: every process has them.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from wordsight.model.clip import Clip
from wordsight.model.layers import Block
from wordsight.model.resnet import Bottleneck

if TYPE_CHECKING:
    from wordsight.training.contrastive.processes import Processes

split: Any = fully_shard  # torch leaves it without types


class Sharded(nn.Module):
    """`step.Towers` whose weights are split up; what it computes is the same."""

    def __init__(self, towers: nn.Module, processes: "Processes"):
        super().__init__()
        self.towers = towers
        clip = cast(Clip, towers.get_submodule("clip"))
        self._sides: list[Any] = [clip.image, clip.text]
        mesh = init_device_mesh(processes.device.type, (processes.count,))
        for side in self._sides:
            for module in side.modules():
                if isinstance(module, (Block, Bottleneck)):
                    split(module, mesh=mesh, reshard_after_forward=True)
            split(side, mesh=mesh, reshard_after_forward=True)
        scalars: list[Any] = [clip.logit_scale, clip.logit_bias]
        for value in scalars:
            if value is not None:
                dist.broadcast(value.data, 0, group=processes.group)
                value.register_post_accumulate_grad_hook(self._average)
        self._group, self._is_last = processes.group, True

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Do what the towers do."""
        return self.towers(pixels, tokens)

    @contextmanager
    def no_sync(self) -> Generator[None]:
        """Keep gradients here that a later backward pass of the step takes along."""
        self._sum_gradients(False)
        try:
            yield
        finally:
            self._sum_gradients(True)

    def _sum_gradients(self, is_on: bool) -> None:
        self._is_last = is_on
        for side in self._sides:
            side.set_requires_gradient_sync(is_on)

    def _average(self, value: Tensor) -> None:
        if self._is_last and value.grad is not None:
            dist.all_reduce(value.grad, group=self._group)
            value.grad /= dist.get_world_size(self._group)


def shard(towers: nn.Module, processes: "Processes") -> nn.Module:
    """Split a model up between processes, in place; its weights are then other objects."""
    return Sharded(towers, processes)
