"""The words alone: what every other method is held against."""

from collections.abc import Sequence

import numpy as np

from wordsight.transfer.few_shot.shots import Linear, Method, Scorer, Setting, Shots


def _fit(shots: Shots, settings: Sequence[Setting]) -> list[Scorer]:
    words = Linear(shots.scale * shots.words, np.zeros(shots.num_classes))
    return [words for _ in settings]


ZERO_SHOT = Method("zero_shot", _fit, lambda _: ((),))
