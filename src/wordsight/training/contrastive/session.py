"""A run while it lasts: the model, what moves it, and how both go to disk and come back."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wordsight.images import Preprocessing
from wordsight.model.clip import Clip, build_clip
from wordsight.model.resnet import ModifiedResNet
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.training.contrastive.breakdown import bad_gradient, bad_loss
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import Batch
from wordsight.training.contrastive.optimizer import (
    build_optimizer,
    clamp_scale,
    clip_gradient,
    set_learning_rate,
)
from wordsight.training.contrastive.pieces import is_split, like, whole
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.schedule import learning_rate
from wordsight.training.contrastive.seeds import mixed
from wordsight.training.contrastive.step import Work, backward
from wordsight.training.contrastive.task import Contrast, Task

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}

AVERAGE_WARMUP = 9
"""The average's decay after n steps is at most n / (n + 9), as in TensorFlow's moving averages."""


@dataclass(slots=True)
class Session:
    """One process's part of a run."""

    clip: Clip
    config: TrainConfig
    plan: BatchPlan
    recipe: Preprocessing
    processes: Processes
    task: Task = field(default_factory=Contrast)
    towers: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: Any = field(init=False)
    average: dict[str, Tensor] = field(init=False)
    """Moving average of the weights by name; empty if none is kept."""

    def __post_init__(self) -> None:
        clip: Any = self.clip  # torch leaves the memory format out of its overloads
        is_whole = self.config.sharding == "none"  # FSDP wants its weights contiguous
        clip.to(
            self.processes.device,
            memory_format=self.layout if is_whole else torch.contiguous_format,
        )
        self.clip.checkpoint_gradients(self.config.checkpoint_gradients)
        for module in self.clip.modules():
            if isinstance(module, VisionTransformer):
                module.patch_dropout = self.config.patch_dropout
        self.task.prepare(self.clip, self.config)
        towers: Any = self.task.towers(self.clip)
        if self.config.compile:
            towers.compile()
        self.towers = self.processes.share(towers, self.config.sharding)
        self.optimizer = build_optimizer(self.clip, self.config)
        self.scaler = torch.amp.GradScaler(enabled=self.config.precision == "float16")
        self.average = {}
        if self.config.average:
            self.average = {n: v.detach().clone() for n, v in self.clip.state_dict().items()}

    @property
    def layout(self) -> torch.memory_format:
        """The order of axes in memory: convolutions are faster on a CPU with channels last."""
        has_convolutions = isinstance(self.clip.image.tower, ModifiedResNet)
        return torch.channels_last if has_convolutions else torch.contiguous_format

    def learn(self, batch: Batch, step: int) -> dict[str, Any]:
        """Take one step, and return what is to be said of it.

        Raises:
            TrainingError: naming step and layer, if loss or gradient is not a number; the weights
                are then still those before the step.
        """
        self.task.set_mode(self.clip, self.config)
        rate = learning_rate(
            step,
            num_steps=self.plan.num_steps,
            warmup_steps=max(1, round(self.config.warmup * self.plan.num_steps)),
            peak=self.config.learning_rate,
        )
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        pixels = batch.pixels(self.recipe, self.processes.device, self.layout)
        tokens = batch.all_tokens.to(self.processes.device)
        loss = backward(
            self.towers,
            pixels,
            tokens,
            self.task.loss(batch, self.config, self.processes),
            seed=mixed(self.config.seed, step),
            work=Work(
                micro_batch=self.config.micro_batch,
                autocast=self._autocast,
                scaled=lambda value: self.scaler.scale(self.processes.scaled(value)),
                unshared=lambda: self.processes.unshared(self.towers),
                rank=self.processes.rank,
            ),
        )
        self.processes.average_statistics(self.clip)
        if not math.isfinite(loss):
            raise bad_loss(
                self._whole_clip(),
                pixels,
                tokens,
                step=step + 1,
                loss=loss,
                autocast=self._autocast,
            )
        self.scaler.unscale_(self.optimizer)
        norm = clip_gradient(self.clip, self.config.clip_gradient)
        if not math.isfinite(norm) and not self.scaler.is_enabled():  # which leaves the step out
            raise bad_gradient(self.clip, step=step + 1, norm=norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        clamp_scale(self.clip, self.config.max_scale)
        self._follow(step + 1)
        return {
            "step": step + 1,
            "loss": loss,
            "scale": float(self.clip.logit_scale.detach().exp()),
            "gradient_norm": norm,
            "learning_rate": rate,
        }

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.processes.device.type, HALF[self.config.precision])

    @torch.no_grad()
    def _follow(self, done: int) -> None:
        """Move the average; of few steps it is their mean, or it would stay where the run began."""
        if not self.average:
            return
        decay = min(self.config.average, done / (done + AVERAGE_WARMUP))
        for name, value in self.clip.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def model(self) -> Clip | None:
        """Return the model to measure and to save, with the averaged weights where there are such.

        It shares its weights with what learns where it can. All processes have to ask, the first
        one gets it.
        """
        weights = self._whole(self.task.weights(self.clip, self.average or self.clip.state_dict()))
        if not self.processes.is_first:
            return None
        return build_clip(self.clip.config, weights).to(self.processes.device)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint needs, by name; all processes have to ask.

        Only the first one gets what is split up between processes.
        """
        found = {f"model.{name}": value for name, value in self.clip.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.clip.named_parameters():
            for key, moment in self.optimizer.state.get(value, {}).items():
                found[f"optimizer.{name}.{key}"] = moment
        return self._whole(found)

    def _whole_clip(self) -> Clip:
        if self.config.sharding == "none":
            return self.clip
        weights = {name: whole(value) for name, value in self.clip.state_dict().items()}
        return build_clip(self.clip.config, weights)

    def _whole(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, value in values.items():
            gathered = whole(value.detach())
            if not is_split(value):
                found[name] = gathered
            elif self.processes.is_first:
                found[name] = gathered.cpu()
        return found

    def values(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside tensors."""
        return {"scaler": self.scaler.state_dict()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up the state that `tensors` and `values` gave."""
        for name, value in self.clip.state_dict().items():
            value.copy_(like(tensors[f"model.{name}"], value))
        for name, value in self.average.items():
            value.copy_(like(tensors[f"average.{name}"], value))
        moments: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                owner, _, key = name.removeprefix("optimizer.").rpartition(".")
                moments.setdefault(owner, {})[key] = value
        is_fused = bool(self.optimizer.defaults.get("fused"))
        for name, value in self.clip.named_parameters():
            for key, moment in moments.get(name, {}).items():
                if key != "step":  # in the layout of the weight, which a fused step counts on
                    place = torch.empty_like(value, dtype=moment.dtype)
                    moment = place.copy_(like(moment, value))
                else:
                    moment = moment.to(value.device if is_fused else moment.device, copy=True)
                self.optimizer.state[value][key] = moment
        self.scaler.load_state_dict(values["scaler"])
