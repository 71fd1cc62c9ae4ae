"""A run while it lasts: the model, what moves it, and how both go to disk and come back."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wordsight.images import Preprocessing
from wordsight.model.clip import Clip
from wordsight.model.losses import info_nce, sigmoid
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.loader import Batch
from wordsight.training.contrastive.optimizer import (
    build_optimizer,
    clamp_scale,
    clip_gradient,
    set_learning_rate,
)
from wordsight.training.contrastive.plan import BatchPlan
from wordsight.training.contrastive.processes import Processes
from wordsight.training.contrastive.schedule import learning_rate
from wordsight.training.contrastive.seeds import mixed
from wordsight.training.contrastive.step import Loss, Outputs, Towers, Work, backward

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(slots=True)
class Session:
    """One process's part of a run."""

    clip: Clip
    config: TrainConfig
    plan: BatchPlan
    recipe: Preprocessing
    processes: Processes
    towers: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: Any = field(init=False)
    average: dict[str, Tensor] = field(init=False)
    """Moving average of the weights by name; empty if none is kept."""

    def __post_init__(self) -> None:
        self.clip.to(self.processes.device)
        self.clip.checkpoint_gradients(self.config.checkpoint_gradients)
        for module in self.clip.modules():
            if isinstance(module, VisionTransformer):
                module.patch_dropout = self.config.patch_dropout
        self.optimizer = build_optimizer(self.clip, self.config)
        towers: Any = Towers(self.clip)
        if self.config.compile:
            towers.compile()
        self.towers = self.processes.share(towers)
        self.scaler = torch.amp.GradScaler(enabled=self.config.precision == "float16")
        self.average = {}
        if self.config.average:
            self.average = {n: v.detach().clone() for n, v in self.clip.state_dict().items()}

    def learn(self, batch: Batch, step: int) -> dict[str, Any]:
        """Take one step, and return what is to be said of it."""
        self._train_mode()
        rate = learning_rate(
            step,
            num_steps=self.plan.num_steps,
            warmup_steps=max(1, round(self.config.warmup * self.plan.num_steps)),
            peak=self.config.learning_rate,
        )
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        loss = backward(
            self.towers,
            batch.pixels(self.recipe, self.processes.device),
            batch.tokens.to(self.processes.device),
            self._loss(batch),
            seed=mixed(self.config.seed, step, self.processes.rank),
            work=Work(
                micro_batch=-(-self.config.micro_batch // self.processes.count),
                autocast=self._autocast,
                scaled=lambda value: self.scaler.scale(self.processes.scaled(value)),
                unshared=lambda: self.processes.unshared(self.towers),
            ),
        )
        self.scaler.unscale_(self.optimizer)
        norm = clip_gradient(self.clip, self.config.clip_gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        clamp_scale(self.clip, self.config.max_scale)
        self._follow()
        return {
            "step": step + 1,
            "loss": loss,
            "scale": float(self.clip.logit_scale.detach().exp()),
            "gradient_norm": norm,
            "learning_rate": rate,
        }

    def _train_mode(self) -> None:
        self.clip.train()
        locked = {"image": self.clip.image, "text": self.clip.text}.get(self.config.lock)
        if locked is not None:
            locked.eval()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.processes.device.type, HALF[self.config.precision])

    def _loss(self, batch: Batch) -> Loss:
        options: dict[str, Any] = {"group": self.processes.group}
        if self.config.shared_captions:
            options["positives"] = self._matches(batch)
        if self.config.loss == "sigmoid":
            return lambda outputs: sigmoid(*outputs, **options)
        options["smoothing"] = self.config.smoothing

        def loss(outputs: Outputs) -> Tensor:
            images, texts, log_scale = outputs
            return info_nce(images, texts, log_scale, **options)

        return loss

    def _matches(self, batch: Batch) -> Callable[[slice, slice], Tensor]:
        """Say that a picture goes with its own sentences and with equal ones of others."""
        device = self.processes.device
        images = self.processes.gathered(batch.images.to(device))
        texts = self.processes.gathered(batch.texts.to(device))
        return lambda rows, columns: (
            (images[rows, None] == images[None, columns])
            | (texts[rows, None] == texts[None, columns])
        )

    @torch.no_grad()
    def _follow(self) -> None:
        if not self.average:
            return
        for name, value in self.clip.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - self.config.average)
            else:
                self.average[name].copy_(value)

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Put the averaged weights in the model's place for a while, where there are such."""
        if not self.average:
            yield
            return
        learnt = {name: value.clone() for name, value in self.clip.state_dict().items()}
        self.clip.load_state_dict(self.average)
        try:
            yield
        finally:
            self.clip.load_state_dict(learnt)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint needs, by name."""
        found = {f"model.{name}": value for name, value in self.clip.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.clip.named_parameters():
            for key, moment in self.optimizer.state.get(value, {}).items():
                found[f"optimizer.{name}.{key}"] = moment
        return found

    def values(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside tensors."""
        return {"scaler": self.scaler.state_dict()}

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up the state that `tensors` and `values` gave."""
        model = {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
        self.clip.load_state_dict(model)
        for name in self.average:
            self.average[name].copy_(tensors[f"average.{name}"])
        moments: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                owner, _, key = name.removeprefix("optimizer.").rpartition(".")
                moments.setdefault(owner, {})[key] = value
        for name, value in self.clip.named_parameters():
            for key, moment in moments.get(name, {}).items():
                place = moment if key == "step" else moment.to(value.device)
                self.optimizer.state[value][key] = place.clone()
        self.scaler.load_state_dict(values["scaler"])
