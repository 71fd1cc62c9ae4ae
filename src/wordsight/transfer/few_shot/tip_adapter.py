"""Tip-Adapter: the shots as a memory that pictures look their answer up in.

Shape letters: M shots (keys), N pictures, C classes, E joint space.

Zhang et al., 2022, "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification" (arXiv
2207.09519), equations 3 to 6:

    logits = scale f W' + alpha * exp(-beta (1 - f K')) L

with the shots as keys K and their labels, one-hot, as values L. Tip-Adapter-F then learns the keys
on the same shots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.few_shot.shots import (
    Floats,
    Method,
    Scorer,
    Setting,
    Shots,
    log_losses,
)

ALPHAS = (0.1, 0.03, 0.01, 0.3, 1.0)
"""In units of the model's scale: the paper's 1 at a scale of 100 is 0.01."""
BETAS = (5.5, 1.0, 2.5, 10.0, 20.0)
EPOCHS = 20
"""As in the paper."""
RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Memory:
    """Keys, values and how much they count."""

    words: Floats
    """Weights of the zero-shot classifier at the model's scale, (C, E)."""
    keys: Floats
    """(M, E)"""
    values: Floats
    """(M, C)"""
    alpha: float
    beta: float

    def scores(self, rows: Floats) -> Floats:
        """Return the logits of words and memory, (N, C)."""
        nearness = np.exp(-self.beta * (1 - rows @ self.keys.T))
        return rows @ self.words.T + self.alpha * nearness @ self.values


def fit_tip_adapter(shots: Shots, alpha: float, beta: float) -> Memory:
    """Return the memory of the shots; alpha in units of the model's scale."""
    words = shots.scale * shots.words
    return Memory(words, shots.rows, shots.one_hot, shots.scale * alpha, beta)


def fit_tip_adapter_f(
    shots: Shots, alpha: float, beta: float, *, epochs: int = EPOCHS, rate: float = RATE
) -> Memory:
    """Return a memory with keys learnt on the shots: Adam (Kingma & Ba, 2015), all shots at a time.

    The rate falls to zero along a cosine, as in the paper. `alpha` is in units of the scale.
    """
    memory = fit_tip_adapter(shots, alpha, beta)
    keys = memory.keys.copy()
    mean, square = np.zeros_like(keys), np.zeros_like(keys)
    for epoch in range(1, epochs + 1):
        now = Memory(memory.words, keys, memory.values, memory.alpha, beta)
        gradient = loss_and_gradient(now, shots)[1]
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step = rate * (1 + np.cos(np.pi * (epoch - 1) / epochs)) / 2
        root = np.sqrt(square / (1 - 0.999**epoch)) + 1e-8
        keys = keys - step * mean / (1 - 0.9**epoch) / root
    return Memory(memory.words, keys, memory.values, memory.alpha, beta)


def loss_and_gradient(memory: Memory, shots: Shots) -> tuple[float, Floats]:
    """Return the mean cross-entropy of the shots and its gradient in the keys, (M, E)."""
    scores = memory.scores(shots.rows)
    wrong = (softmax(scores) - shots.one_hot) / len(shots.truth)
    nearness = np.exp(-memory.beta * (1 - shots.rows @ memory.keys.T))
    pull = memory.alpha * memory.beta * nearness * (wrong @ memory.values.T)
    return float(log_losses(scores, shots.truth).mean()), pull.T @ shots.rows


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return [fit_tip_adapter(shots, alpha, beta) for alpha, beta in settings]


def _fit_learnt(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return [fit_tip_adapter_f(shots, alpha, beta) for alpha, beta in settings]


def _settings(shots: Shots) -> tuple[Setting, ...]:
    if shots.per_class == 1:
        return ((0.1, 5.5),)
    return tuple((alpha, beta) for alpha in ALPHAS for beta in BETAS)


def _settings_learnt(shots: Shots) -> tuple[Setting, ...]:
    return ((0.1, 5.5), (0.3, 5.5), (0.3, 2.5)) if shots.per_class > 1 else ((0.1, 5.5),)


TIP_ADAPTER = Method("tip_adapter", _fit, _settings)
TIP_ADAPTER_F = Method("tip_adapter_f", _fit_learnt, _settings_learnt)
