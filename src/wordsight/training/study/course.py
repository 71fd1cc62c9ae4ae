"""One objective from its first step to its last.

Everything is a pure function of the settings, so a course that was killed goes on from its last
checkpoint to the same weights and the same curve; only the seconds are what the clock said.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wordsight.config import from_dict, to_dict
from wordsight.errors import DataError, TrainingError
from wordsight.files import write_text
from wordsight.model.architecture import ModifiedResNetConfig
from wordsight.model.clip import Clip
from wordsight.training.contrastive import state
from wordsight.training.contrastive.loader import Batch, Reader, read_batches
from wordsight.training.contrastive.optimizer import (
    RESNET,
    VIT,
    is_gain_or_bias,
    set_learning_rate,
)
from wordsight.training.contrastive.run import CHECKPOINTS
from wordsight.training.contrastive.schedule import learning_rate
from wordsight.training.study.config import Objective, StudyConfig
from wordsight.training.study.cost import training_operations
from wordsight.training.study.exam import Exam
from wordsight.training.study.models import Learner
from wordsight.training.study.results import CURVE, Curve, Point, write_results

SECONDS = "seconds.json"
KEPT = 2
MAX_LOG_SCALE = math.log(100.0)
MOMENTS = ("exp_avg", "exp_avg_sq")
OnStep = Callable[[Objective, int, int], None]
"""Called with the objective, its steps done and all its steps."""


@dataclass(slots=True)
class Course:
    """What one objective learns with."""

    objective: Objective
    learner: Learner
    clip: Clip
    reader: Reader
    exam: Exam
    config: StudyConfig
    folder: Path
    device: torch.device
    on_step: OnStep | None = None
    optimizer: torch.optim.AdamW = field(init=False)
    points: list[Point] = field(default_factory=list[Point])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Time spent until the step of each checkpoint."""
    bad: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        # convolutions of a CPU are half as fast again with channels last
        self.learner.to(self.device).image.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportUnknownMemberType]
        paper = RESNET if isinstance(self.clip.config.image, ModifiedResNetConfig) else VIT
        groups = _groups(self.learner, self.config.weight_decay)
        self.optimizer = torch.optim.AdamW(
            groups, betas=(0.9, paper["beta2"]), eps=paper["epsilon"], lr=0.0, fused=True
        )

    def run(self) -> Curve:
        """Learn to the end, and write the curve down.

        Raises:
            TrainingError: if a loss is not a number, naming the step.
            DataError: if more pictures than `max_bad` cannot be read.
        """
        first = self._resume()
        num_steps, marks = self.reader.plan.num_steps, self._marks()
        spent = self.seconds.get(str(first), 0.0)
        begun = time.perf_counter()
        batches = read_batches(self.reader, first=first, workers=self.config.workers)
        for done, batch in enumerate(batches, start=first + 1):
            self._count_bad(batch)
            loss = self.step(batch, done - 1)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"{self.objective}: step {done}: the loss is {loss}",
                    hint="a smaller learning_rate or a longer warmup helps",
                )
            if done in marks or done % self.config.checkpoint_every == 0:
                spent += time.perf_counter() - begun
                if done in marks:
                    self._measure(done, loss)
                self._save(done, spent)
                begun = time.perf_counter()
            if self.on_step:
                self.on_step(self.objective, done, num_steps)
        curve = self._curve()
        write_results(self.folder / CURVE, curve)
        return curve

    def step(self, batch: Batch, step: int) -> float:
        """Take one step, counted from 0, and return its loss."""
        num_steps = self.reader.plan.num_steps
        rate = learning_rate(
            step,
            num_steps=num_steps,
            warmup_steps=max(1, round(self.config.warmup * num_steps)),
            peak=self.config.learning_rate,
        )
        set_learning_rate(self.optimizer, rate)
        self.learner.train()
        self.optimizer.zero_grad()
        pixels = batch.pixels(self.reader.recipe, self.device)
        loss = self.learner.loss(
            pixels.contiguous(memory_format=torch.channels_last),
            batch.tokens.to(self.device),
            _matches(batch).to(self.device),
        )
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        with torch.no_grad():
            for name, value in self.learner.named_parameters():
                if name == "logit_scale":
                    value.clamp_(0.0, MAX_LOG_SCALE)
        return float(loss.detach())

    def _marks(self) -> set[int]:
        num_steps, count = self.reader.plan.num_steps, self.config.evaluations
        return {max(1, round(num_steps * number / count)) for number in range(1, count + 1)}

    def _measure(self, done: int, loss: float) -> None:
        samples = done * self.config.batch_size
        each = training_operations(self.objective, self.clip.config)
        found = self.exam.take(self.learner)
        self.points.append(
            Point(
                step=done,
                samples=samples,
                operations=float(samples * each),
                loss=loss,
                accuracy=found,
            )
        )

    def _curve(self) -> Curve:
        points = [replace(point, seconds=self.seconds[str(point.step)]) for point in self.points]
        return Curve(
            objective=self.objective,
            parameters=sum(value.numel() for value in self.learner.parameters()),
            operations_per_sample=training_operations(self.objective, self.clip.config),
            points=tuple(points),
        )

    def _save(self, done: int, spent: float) -> None:
        self.seconds[str(done)] = round(spent, 2)
        write_text(self.folder / SECONDS, json.dumps(self.seconds) + "\n")
        values = {"points": [to_dict(point) for point in self.points], "bad": sorted(self.bad)}
        folder = self.folder / CHECKPOINTS
        state.save(folder, done, self._tensors(), values)
        state.prune(folder, KEPT)

    def _tensors(self) -> dict[str, Tensor]:
        found = {f"model.{name}": value for name, value in self.learner.state_dict().items()}
        for name, value in self.learner.named_parameters():
            for key, moment in self.optimizer.state.get(value, {}).items():
                found[f"optimizer.{key}.{name}"] = moment
        return found

    def _resume(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        saved, _damaged = state.newest(self.folder / CHECKPOINTS)
        if saved is None:
            return 0
        self.learner.load_state_dict(
            {
                name.removeprefix("model."): value
                for name, value in saved.tensors.items()
                if name.startswith("model.")
            }
        )
        for name, value in self.learner.named_parameters():
            self._restore_moments(name, value, saved.tensors)
        where = str(saved.path)
        self.points = [from_dict(Point, one, where=where) for one in saved.values["points"]]
        self.bad = set(saved.values["bad"])
        self.seconds = json.loads((self.folder / SECONDS).read_text(encoding="utf-8"))
        return saved.step

    def _restore_moments(self, name: str, value: Tensor, tensors: Mapping[str, Tensor]) -> None:
        step = tensors.get(f"optimizer.step.{name}")
        if step is None:
            return
        place: dict[str, Any] = self.optimizer.state[value]
        place["step"] = step.to(value.device).clone()
        for key in MOMENTS:  # in the memory format of the weight, as the fused kernel needs them
            place[key] = torch.zeros_like(value).copy_(tensors[f"optimizer.{key}.{name}"])

    def _count_bad(self, batch: Batch) -> None:
        self.bad |= {name for name, _ in batch.bad}
        if len(self.bad) > self.config.max_bad:
            name, reason = batch.bad[0]
            raise DataError(
                f"{len(self.bad)} pictures cannot be read, {self.config.max_bad} are allowed; "
                f"{name}: {reason}",
                hint="mend them, or raise max_bad",
            )


def _groups(learner: Learner, weight_decay: float) -> list[dict[str, Any]]:
    free: list[Tensor] = []
    decayed: list[Tensor] = []
    for name, value in learner.named_parameters():
        (free if is_gain_or_bias(name, value) else decayed).append(value)
    return [
        {"params": decayed, "weight_decay": weight_decay, "scale": 1.0},
        {"params": free, "weight_decay": 0.0, "scale": 1.0},
    ]


def _matches(batch: Batch) -> Tensor:
    """Say which pairs (B, B) match: those of one picture or of one sentence."""
    images, texts = batch.images, batch.texts
    return (images[:, None] == images) | (texts[:, None] == texts)
