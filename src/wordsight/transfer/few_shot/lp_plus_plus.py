"""LP++: a linear probe whose weights are prototypes plus a learnt multiple of the words.

Shape letters: M shots, C classes, E joint space.

Huang et al., 2024, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP" (arXiv 2404.02285):

    logits_ic = f_i . (w_c + a_c t_c),   minimise the mean cross-entropy over w (C, E) and a (C,)

by turns: ten steps on w, one on a, each the minimum of a quadratic that lies above the loss. The
number of steps is what holds it back from overfitting; there is no penalty.

Two constants differ from the paper's. Its steps come from an approximate curvature (at most 1/4 of
p (1 - p)); the softmax's curvature in all logits together is bounded by 1/2 (Boehning, 1992), with
which no step can raise the loss. And a starts at the model's scale rather than at 250 times a mean
cosine, which was fitted to CLIP's narrow cone: before the first step the words alone decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.few_shot.shots import (
    Floats,
    Linear,
    Method,
    Scorer,
    Setting,
    Shots,
    log_losses,
)

CYCLES = 30
STEPS_A_CYCLE = 10


@dataclass(frozen=True, slots=True)
class Blend:
    """The two blocks that are learnt, and the loss before every cycle and after the last."""

    prototypes: Floats
    """w, (C, E)"""
    multipliers: Floats
    """a, (C,)"""
    losses: list[float]


def fit_blend(shots: Shots, *, cycles: int = CYCLES) -> Blend:
    """Minimise the cross-entropy of `f . (w + a t)` block by block from w = 0, a = scale.

    Step lengths: 2 M / lambda_max(F' F) for w, and 2 M / sum_i (f_i . t_c)^2 for each a_c.
    """
    count = len(shots.truth)
    cosines = shots.rows @ shots.words.T
    largest = float(np.linalg.norm(shots.rows, 2)) ** 2
    step_w = 2 * count / largest
    bends = (cosines**2).sum(axis=0)
    step_a = np.divide(2.0 * count, bends, out=np.zeros_like(bends), where=bends > 0)
    prototypes: Floats = np.zeros_like(shots.words)
    multipliers: Floats = np.full(shots.num_classes, shots.scale)

    def logits() -> Floats:
        return shots.rows @ prototypes.T + multipliers * cosines

    losses: list[float] = []
    for _ in range(cycles):
        losses.append(float(log_losses(logits(), shots.truth).mean()))
        for _ in range(STEPS_A_CYCLE):
            wrong = (softmax(logits()) - shots.one_hot) / count
            prototypes = prototypes - step_w * wrong.T @ shots.rows
        wrong = (softmax(logits()) - shots.one_hot) / count
        multipliers = multipliers - step_a * (wrong * cosines).sum(axis=0)
    losses.append(float(log_losses(logits(), shots.truth).mean()))
    return Blend(prototypes, multipliers, losses)


def fit_lp_plus_plus(shots: Shots, *, cycles: int = CYCLES) -> Linear:
    """Return the classifier w + a t after so many cycles."""
    blend = fit_blend(shots, cycles=cycles)
    coef = blend.prototypes + blend.multipliers[:, None] * shots.words
    return Linear(coef, np.zeros(shots.num_classes))


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return [fit_lp_plus_plus(shots, cycles=int(cycles)) for (cycles,) in settings]


LP_PLUS_PLUS = Method("lp_plus_plus", _fit, lambda _: ((float(CYCLES),),))
