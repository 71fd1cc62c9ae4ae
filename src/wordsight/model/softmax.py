"""Softmax over rows and columns that are only ever seen in tiles."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = -1e30
"""Logit of a pair that is left out; finite, so that zero times it is zero."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """Softmax denominators that grow tile by tile, apart from their largest exponent.

    Their logarithm in one float32 would round by its own size: at a scale of 100 a probability
    of 1 would be wrong by 1e-5, and the gradient by 1e-3.
    """

    peak: Tensor
    """Largest logit so far."""
    mass: Tensor
    """Sum of exp(logit - peak)."""

    @staticmethod
    def empty(like: Tensor) -> "Softmax":
        """Start with no logits."""
        return Softmax(torch.full_like(like, NEVER), torch.zeros_like(like))

    def add(self, place: slice, logits: Tensor, dim: int) -> None:
        """Take in a tile, which holds one axis at `place` and is summed over `dim`."""
        peak = torch.maximum(self.peak[place], logits.amax(dim))
        grown = (logits - peak.unsqueeze(dim)).exp_().sum(dim)
        self.mass[place] = self.mass[place] * (self.peak[place] - peak).exp() + grown
        self.peak[place] = peak

    def logarithms(self) -> Tensor:
        """Return the logarithm of every denominator, in float64."""
        return self.peak.double() + self.mass.double().log()

    def shares(self, place: slice, logits: Tensor, dim: int, weight: Tensor) -> Tensor:
        """Return the probabilities of a tile, each row (or column) times its weight."""
        factor = (weight[place] / self.mass[place]).unsqueeze(dim)
        return (logits - self.peak[place].unsqueeze(dim)).exp_().mul_(factor)
