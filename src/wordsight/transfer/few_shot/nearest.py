"""Weighted nearest neighbours, blended with what the words say.

Shape letters: M shots, N pictures, C classes, E joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wordsight.transfer.class_vectors import softmax
from wordsight.transfer.few_shot.shots import Floats, Method, Scorer, Setting, Shots

TEMPERATURE = 0.07
"""Of the votes, exp(cosine / 0.07): that of Wu et al., 2018 (arXiv 1805.01978, section 3.4)."""
NEIGHBOURS = (1, 3, 8, 20)
SHARES = (0.5, 0.25, 0.75, 0.9)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The shots, how many of them vote, and the share of the votes against the words."""

    shots: Shots
    neighbours: int
    share: float

    def scores(self, rows: Floats) -> Floats:
        """Return log((1 - share) * p(words) + share * p(votes)), (N, C).

        A vote weighs exp(cosine / 0.07); votes are divided by their sum. Of shots equally near,
        the earlier one is taken.
        """
        cosines = rows @ self.shots.rows.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : self.neighbours]
        near = np.take_along_axis(cosines, nearest, axis=1)
        weights = softmax(near / TEMPERATURE)
        votes = (weights[:, :, None] * self.shots.one_hot[nearest]).sum(axis=1)
        words = softmax(self.shots.zero_shot(rows))
        return np.log((1 - self.share) * words + self.share * votes)


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    return [Neighbours(shots, int(neighbours), share) for neighbours, share in settings]


def _settings(shots: Shots) -> tuple[Setting, ...]:
    if shots.per_class == 1:
        return ((1.0, 0.5),)
    return tuple((float(neighbours), share) for neighbours in NEIGHBOURS for share in SHARES)


NEAREST = Method("nearest", _fit, _settings)
