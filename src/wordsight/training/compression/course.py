"""The lessons: a student looks at squares until it says what its parent says of them.

Everything random of a step comes from the seed and the step's number, so a run that was killed and
taken up again ends with the same bytes.

Shape letters: B pictures of a step, S side of a square, E joint space.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.errors import TrainingError
from wordsight.images import Preprocessing
from wordsight.model.clip import ProjectedTower
from wordsight.model.outputs import EMBEDDING
from wordsight.training.compression.config import CompressConfig
from wordsight.training.compression.losses import decision_loss, feature_loss, similarity_loss
from wordsight.training.contrastive import state
from wordsight.training.contrastive.optimizer import is_gain_or_bias
from wordsight.training.contrastive.run import RunFolder
from wordsight.training.contrastive.schedule import learning_rate

MODEL, MOMENTS, SIZE = "model.", "moments.", "metrics_size"
ORDER, LESSON = 0, 1
"""What a random generator is for: the order of an epoch, or what is drawn in a step."""

OnStep = Callable[[Mapping[str, Any], int], None]
"""Called with what is said of a step, and the number of all steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What there is to learn."""

    squares: NDArray[np.uint8]
    """(N, S, S, 3) of all pictures."""
    rows: NDArray[np.int64]
    """Those that may be learnt from."""
    goals: Tensor
    """(N, E) the parent's unit vectors of all pictures."""
    sentences: Tensor
    """(K, E) unit vectors of the sentences that decisions are compared on."""
    scale: float
    """The model's multiplier of cosines."""
    recipe: Preprocessing
    """How squares become what the student takes."""


class Course:
    """One run of learning."""

    def __init__(
        self,
        student: ProjectedTower,
        lessons: Lessons,
        config: CompressConfig,
        folder: RunFolder,
        *,
        device: str = "cpu",
    ):
        """Take a student, which is changed."""
        self.student, self.lessons, self.config, self.folder = student, lessons, config, folder
        self.device = torch.device(device)
        self.num_steps = config.num_steps(len(lessons.rows))
        student.to(self.device).train()
        self._optimizer = _optimizer(student, config)

    def run(self, on_step: OnStep | None = None) -> int:
        """Learn, from the last checkpoint if there is one; return the number of steps.

        Raises:
            TrainingError: if a loss is not a number.
            DataError: if there are checkpoints, and all of them are damaged.
        """
        for step in range(self._begun(), self.num_steps):
            said = {"step": step + 1, **self._step(step)}
            self.folder.measured(said)
            if on_step:
                on_step(said, self.num_steps)
            is_last = step + 1 == self.num_steps
            if is_last or (step + 1) % self.config.checkpoint_every == 0:
                self._save(step + 1)
        self.student.eval().cpu()
        return self.num_steps

    def _step(self, step: int) -> dict[str, float]:
        config, lessons = self.config, self.lessons
        rng = np.random.default_rng([config.seed, LESSON, step])
        rows = self._rows(step)
        squares = varied(lessons.squares[np.sort(rows)], rng, config)
        pixels = normalised(squares, lessons.recipe).to(self.device)
        is_half = config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_half):
            vectors = self.student(pixels)[EMBEDDING]
        losses = self._losses(vectors, np.sort(rows), rng)
        loss = torch.stack(list(losses.values())).sum()
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"step {step + 1}: the loss is {float(loss.detach())}, which is not a number to "
                "learn from",
                hint="choose a smaller learning_rate",
            )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if config.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), config.clip_gradient)
        rate = learning_rate(
            step,
            num_steps=self.num_steps,
            warmup_steps=round(config.warmup * self.num_steps),
            peak=config.learning_rate,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return {"loss": float(loss.detach()), **{k: float(v.detach()) for k, v in losses.items()}}

    def _losses(
        self, vectors: Tensor, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Return every term that counts, times its weight.

        The gradient of a divergence grows with the scale of the cosines, that of the distance does
        not: divided by the scale, all pull at a vector alike.
        """
        config, lessons = self.config, self.lessons
        similarities, decisions = (
            weight / lessons.scale for weight in (config.similarities, config.decisions)
        )
        goals = lessons.goals[rows].to(self.device)
        found: dict[str, Tensor] = {}
        if config.features:
            found["features"] = config.features * feature_loss(vectors, goals)
        if config.similarities:
            others = np.setdiff1d(lessons.rows, rows)
            drawn = rng.choice(others, min(config.bank, len(others)), replace=False)
            bank = lessons.goals[drawn].to(self.device)
            found["similarities"] = similarities * similarity_loss(
                vectors, goals, bank, scale=lessons.scale
            )
        if config.decisions:
            found["decisions"] = decisions * decision_loss(
                vectors, goals, lessons.sentences.to(self.device), scale=lessons.scale
            )
        return found

    def _rows(self, step: int) -> NDArray[np.int64]:
        """Return the pictures of a step; every epoch has its own order."""
        rows, size = self.lessons.rows, min(self.config.batch_size, self._largest_batch)
        per_epoch = len(rows) // size
        epoch, turn = divmod(step, per_epoch)
        order = np.random.default_rng([self.config.seed, ORDER, epoch]).permutation(rows)
        return order[turn * size : (turn + 1) * size]

    @property
    def _largest_batch(self) -> int:
        """At least one picture stays outside, to be compared with."""
        return max(2, len(self.lessons.rows) - 1)

    def _save(self, step: int) -> None:
        tensors = {f"{MODEL}{name}": value for name, value in self.student.state_dict().items()}
        for place, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"{MOMENTS}{place}.{name}": value for name, value in moments.items()}
        copies = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        state.save(self.folder.checkpoints, step, copies, {SIZE: self.folder.metrics_size})
        state.prune(self.folder.checkpoints, keep=1)

    def _begun(self) -> int:
        """Take up the last checkpoint; return its step."""
        saved, _ = state.newest(self.folder.checkpoints)
        if saved is None:
            self.folder.cut_metrics(0)
            return 0
        own = {n.removeprefix(MODEL): v for n, v in saved.tensors.items() if n.startswith(MODEL)}
        self.student.load_state_dict(own)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in saved.tensors.items():
            if name.startswith(MOMENTS):
                place, _, kind = name.removeprefix(MOMENTS).partition(".")
                moments.setdefault(int(place), {})[kind] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.folder.cut_metrics(int(saved.values[SIZE]))
        return saved.step


def _optimizer(student: ProjectedTower, config: CompressConfig) -> torch.optim.Optimizer:
    free = [v for name, v in student.named_parameters() if is_gain_or_bias(name, v)]
    decayed = [v for name, v in student.named_parameters() if not is_gain_or_bias(name, v)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    is_fused = all(value.device.type in ("cpu", "cuda") for value in student.parameters())
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-8, fused=is_fused)


def varied(
    squares: NDArray[np.uint8], rng: np.random.Generator, config: CompressConfig
) -> NDArray[np.uint8]:
    """Shift and mirror each square (B, S, S, 3) at random; the edge is repeated where it moves."""
    out = np.array(squares)
    reach = int(config.shift * squares.shape[1])
    for row, square in enumerate(squares):
        if reach:
            down, right = rng.integers(-reach, reach + 1, 2)
            side = np.arange(len(square))
            square = square[(side + down).clip(0, len(square) - 1)]
            square = square[:, (side + right).clip(0, len(square) - 1)]
        if config.mirror and rng.random() < 0.5:
            square = square[:, ::-1]
        out[row] = square
    return out


def normalised(squares: NDArray[np.uint8], recipe: Preprocessing) -> Tensor:
    """Return pixels (B, 3, S, S) as the student takes them, of 8-bit squares (B, S, S, 3)."""
    pixels = torch.as_tensor(squares).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (recipe.mean, recipe.std))
    return ((pixels - mean) / std).contiguous()
