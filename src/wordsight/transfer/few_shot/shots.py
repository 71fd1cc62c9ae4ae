"""The labelled examples, and what the words say of them: all that a few-shot method may use.

Shape letters: M shots, N pictures, C classes, E joint space.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Setting = tuple[float, ...]


@dataclass(frozen=True)
class Shots:
    """A few labelled pictures and the classifier that the words write."""

    rows: Floats
    """(M, E) unit rows."""
    truth: Places
    """Place of the class of each shot, (M,)."""
    words: Floats
    """Unit vectors of the classes, (C, E); zeros where nothing is said of them."""
    scale: float
    """What the model multiplies cosines by."""
    groups: Places
    """Shots of one group show one object, (M,): a held-out part never splits a group."""

    @property
    def num_classes(self) -> int:
        """Classes that are told apart, with or without a shot."""
        return len(self.words)

    @cached_property
    def one_hot(self) -> Floats:
        """Truth as (M, C)."""
        return np.eye(self.num_classes)[self.truth]

    @cached_property
    def per_class(self) -> int:
        """Groups of the class that has fewest; classes without a shot do not count."""
        return min(
            len(np.unique(self.groups[self.truth == place])) for place in np.unique(self.truth)
        )

    def zero_shot(self, rows: Floats) -> Floats:
        """Return what the words alone say of (N, E): scaled cosines (N, C)."""
        return self.scale * rows @ self.words.T

    def part(self, chosen: NDArray[np.bool_]) -> "Shots":
        """Return the chosen shots (M,), with the same words."""
        return Shots(
            self.rows[chosen], self.truth[chosen], self.words, self.scale, self.groups[chosen]
        )


class Scorer(Protocol):
    """What a method has learnt."""

    def scores(self, rows: Floats) -> Floats:
        """Return logits (N, C) of unit rows (N, E)."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """Logits that are linear in the features."""

    coef: Floats
    """(C, E)"""
    intercept: Floats
    """(C,)"""

    def scores(self, rows: Floats) -> Floats:
        """Return rows @ coef.T + intercept, (N, C)."""
        return rows @ self.coef.T + self.intercept


@dataclass(frozen=True, slots=True)
class Method:
    """A few-shot method and its settings."""

    name: str
    fit: Callable[[Shots, Sequence[Setting]], list[Scorer]]
    """One scorer for each setting; work that settings share is done once."""
    settings: Callable[[Shots], tuple[Setting, ...]]
    """Among which held-out shots choose; one only while a class has one shot."""

    def at(self, setting: Setting) -> "Method":
        """Return the method with its setting fixed."""
        return Method(self.name, self.fit, lambda _: (setting,))


def log_losses(scores: Floats, truth: Places) -> Floats:
    """Return the cross-entropy of each row of logits (N, C) with the truth (N,)."""
    highest = scores.max(axis=1)
    total = np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return total + highest - scores[np.arange(len(truth)), truth]
