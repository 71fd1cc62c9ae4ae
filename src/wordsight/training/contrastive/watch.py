"""The training doctor beside a run: it sees what every step and evaluation says.

Shape letters: N pictures, M sentences, E joint space.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wordsight.training.assessment import COLLAPSED_SHARE, MIN_EFFECTIVE_RANK, effective_rank
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.evaluation import HeldOut
from wordsight.training.contrastive.findings import Finding

WINDOW = 50
"""Steps whose losses are looked at together."""
STUCK_AFTER = 200
"""Steps after the warm-up by which a loss has left that of guessing."""
STUCK_SHARE = 0.02
"""Part of the loss of guessing that must have gone by then."""
SPIKE_AFTER = 20
SPIKE_DEVIATIONS, SPIKE_SHARE, SPIKE_LEAST = 10.0, 0.5, 0.5
MOST_PICTURES = 500
"""Held-out pictures that are looked at, spread evenly."""
FEW_PICTURES = 20
"""Held-out pictures below which nothing is said of them."""
CHANCE = 0.5
"""Share of the wrong sentences that a guess puts behind the right one."""
LITTLE_ABOVE_CHANCE = 0.05
WAITED_SHARE, WAITED_S = 0.25, 10.0
"""Share of the time, and seconds, lost to waiting that are worth a word."""
SCALE_SLACK = 0.99
MAD_TO_DEVIATION = 1.4826


@dataclass(slots=True)
class Watch:
    """What is known of a run so far; `findings` holds the latest word on every misfortune."""

    config: TrainConfig
    num_steps: int
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    losses: list[float] = field(default_factory=list[float])
    """The last `WINDOW`."""
    spikes: list[int] = field(default_factory=list[int])
    waited_s: float = 0.0
    learnt_s: float = 0.0
    first_scale: float | None = None

    def step(self, said: Mapping[str, Any]) -> None:
        """Look at what a step said: loss and scale."""
        step, loss, scale = int(said["step"]), float(said["loss"]), float(said["scale"])
        if self.first_scale is None:
            self.first_scale = scale
        self._spike(step, loss)
        self.losses = [*self.losses[1 - WINDOW :], loss]
        warmup = round(self.config.warmup * self.num_steps)
        if step == warmup + STUCK_AFTER or (step == self.num_steps and step >= WINDOW):
            self._stuck(step)
        self._temperature(step, scale)

    def timed(self, *, waited_s: float, learnt_s: float, step: int) -> None:
        """Count the seconds that a step waited for its pictures, and those it learnt."""
        self.waited_s += waited_s
        self.learnt_s += learnt_s
        share = self.waited_s / (self.waited_s + self.learnt_s)
        if self.waited_s < WAITED_S or share < WAITED_SHARE:
            return
        self._say(
            "warn",
            "starved",
            f"{share:.0%} of the time, {self.waited_s:.0f} s, went into waiting for pictures",
            "raise workers, store smaller pictures, or put them on a faster disk",
            step=step,
        )

    def evaluated(self, held_out: HeldOut, step: int) -> None:
        """Look at the vectors of what is held out: collapse, and whether anything carries over."""
        if len(held_out.images) < FEW_PICTURES or len(held_out.texts) < 2:
            return
        held_out = _spread(held_out)
        similarity = held_out.images @ held_out.texts.T
        self._collapse(held_out, len(np.unique(similarity.argmax(axis=1))), step)
        if step >= min(self.num_steps, round(self.config.warmup * self.num_steps) + STUCK_AFTER):
            self._carries_over(similarity, held_out, step)

    def _say(self, level: Any, code: str, text: str, advice: str = "", *, step: int) -> None:
        self.findings[code] = Finding(level=level, code=code, text=text, advice=advice, step=step)

    def _spike(self, step: int, loss: float) -> None:
        """Compare a loss with the median of those before it, in robust deviations."""
        if len(self.losses) < SPIKE_AFTER:
            return
        median = statistics.median(self.losses)
        deviation = statistics.median([abs(value - median) for value in self.losses])
        least = max(
            SPIKE_DEVIATIONS * MAD_TO_DEVIATION * deviation, SPIKE_SHARE * median, SPIKE_LEAST
        )
        if loss <= median + least:
            return
        self.spikes.append(step)
        self._say(
            "warn",
            "loss_spike",
            f"the loss jumped {len(self.spikes)} times, first at step {self.spikes[0]}; at step "
            f"{step} it is {loss:.2f}, before it was {median:.2f}",
            "set clip_gradient = 1, or a smaller learning_rate or beta2",
            step=step,
        )

    def _stuck(self, step: int) -> None:
        """Compare the loss with ln(batch), which a model has that cannot tell pairs apart."""
        if self.config.loss != "info_nce":
            return
        guessing, mean = math.log(self.config.batch_size), statistics.mean(self.losses)
        if mean > (1 - STUCK_SHARE) * guessing:
            self._say(
                "warn",
                "loss_stuck",
                f"after {step} steps the loss is {mean:.2f}, and guessing has "
                f"ln({self.config.batch_size}) = {guessing:.2f}: nothing is learnt",
                "look whether captions stand beside their own pictures; else try another "
                "learning_rate, ten times smaller or larger",
                step=step,
            )
        else:
            text = f"the loss left ln({self.config.batch_size}) = {guessing:.2f}; it is {mean:.2f}"
            self._say("ok", "loss_stuck", text, step=step)

    def _temperature(self, step: int, scale: float) -> None:
        """Say if the scale reaches its bound early; at the end the paper's own models are there."""
        largest, first = SCALE_SLACK * self.config.max_scale, self.first_scale or 0.0
        if scale < largest or first >= largest or "temperature" in self.findings:
            return
        is_early = step < self.num_steps / 2
        self._say(
            "warn" if is_early else "ok",
            "temperature",
            f"the scale reached its bound of {self.config.max_scale:g} at step {step} of "
            f"{self.num_steps}",
            "pairs may be too easy or repeated, or the learning_rate too large" if is_early else "",
            step=step,
        )

    def _collapse(self, held_out: HeldOut, answers: int, step: int) -> None:
        possible = min(held_out.images.shape[0], held_out.texts.shape[0])
        rank = effective_rank(held_out.images)
        seen = (
            f"{len(held_out.images)} held-out pictures get {answers} different answers of "
            f"{possible}, effective rank {rank:.1f}"
        )
        if possible > 10 and (answers < COLLAPSED_SHARE * possible or rank < MIN_EFFECTIVE_RANK):
            advice = "do not use this model; a smaller learning_rate or a longer warmup helps"
            self._say("stop", "collapse", f"collapse: {seen}", advice, step=step)
        else:
            self._say("ok", "collapse", f"no collapse: {seen}", step=step)

    def _carries_over(self, similarity: Any, held_out: HeldOut, step: int) -> None:
        """Ask how many wrong sentences stand behind the right one: half of them, for a guess."""
        behind: list[float] = []
        for row, own in zip(similarity, held_out.of_image, strict=True):
            others = np.delete(row, own)
            if len(others):
                below = (others < row[own].max()).mean() + (others == row[own].max()).mean() / 2
                best_of = len(own)  # the best of k guesses stands ahead of k parts in k + 1
                behind.append(float(below) - best_of / (best_of + 1) + CHANCE)
        if len(behind) < FEW_PICTURES:
            return
        mean = statistics.mean(behind)
        error = statistics.stdev(behind) / math.sqrt(len(behind))
        text = (
            f"on {len(behind)} held-out pictures the right sentence stands before {mean:.0%} of "
            f"the wrong ones (+- {2 * error:.0%}); guessing has 50%"
        )
        if mean - CHANCE < max(2 * error, LITTLE_ABOVE_CHANCE):
            advice = (
                "what is learnt holds for nothing new. If the loss falls, pairs are learnt by "
                "heart: are captions shuffled against their pictures? Else more pairs, more steps"
            )
            self._say("warn", "held_out_at_chance", text, advice, step=step)
        else:
            self._say("ok", "held_out_at_chance", text, step=step)


def _spread(held_out: HeldOut) -> HeldOut:
    """Keep some pictures, and all sentences."""
    count = len(held_out.images)
    kept = np.linspace(0, count - 1, min(count, MOST_PICTURES)).round().astype(int).tolist()
    return HeldOut(held_out.images[kept], held_out.texts, [held_out.of_image[i] for i in kept], [])
