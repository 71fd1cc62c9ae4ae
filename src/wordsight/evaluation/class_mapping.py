"""Classifying a set whose classes are not those a model was learnt on, two ways (section 3.3).

Either the scores of finer classes are pooled, as a fixed classifier must; or the classifier is
built from the set's own class names, as words can. The paper found the second 5 points better on
average.

Shape letters: N samples, C finer classes, T classes of the set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordsight.config import nearest
from wordsight.errors import InputError
from wordsight.metrics import Estimate, bootstrap_difference, wilson
from wordsight.metrics.checks import class_scores, finite


@dataclass(frozen=True, slots=True)
class MappingGain:
    """Accuracy of the set's own class names against the pooled finer classes."""

    own: Estimate
    pooled: Estimate
    gain: Estimate
    """own - pooled on the same samples."""


def pool_scores(
    scores: ArrayLike, classes: Sequence[str], mapping: Mapping[str, Sequence[str]]
) -> NDArray[np.float64]:
    """Return (N, T) scores: of each class of the set the best of its finer classes.

    Args:
        scores: (N, C) of the finer classes.
        classes: (C,) their names.
        mapping: for each class of the set, in order, the finer classes it is made of.

    Raises:
        InputError: if the shapes differ, a finer class is unknown, or a class has none.
    """
    table = finite(np.asarray(scores, np.float64), "scores")
    place = {name: column for column, name in enumerate(classes)}
    if table.ndim != 2 or table.shape[1] != len(place):
        raise InputError(f"scores have shape {table.shape} for {len(place)} classes")
    pooled: list[NDArray[np.float64]] = []
    for name, finer in mapping.items():
        unknown = [one for one in finer if one not in place]
        if unknown or not finer:
            raise InputError(
                f"class {name!r} is made of {unknown[0]!r}, which is not one of the classes"
                if unknown
                else f"class {name!r} is made of no class",
                hint=nearest(unknown[0], place) if unknown else "",
            )
        pooled.append(table[:, [place[one] for one in finer]].max(axis=1))
    if len(pooled) < 2:
        raise InputError(f"{len(pooled)} class in the mapping; expected two or more")
    return np.stack(pooled, axis=1)


def mapping_gain(
    own_scores: ArrayLike, pooled_scores: ArrayLike, truth_index: ArrayLike, *, seed: int = 0
) -> MappingGain:
    """Compare a classifier from the set's own names with pooled finer classes, sample by sample.

    Args:
        own_scores: (N, T) of the set's own classes.
        pooled_scores: (N, T) that `pool_scores` returned, in the same order of classes.
        truth_index: (N,) columns of the true classes.
        seed: of the bootstrap.

    Raises:
        InputError: if the shapes differ, or an index is no column.
    """
    own, truth = class_scores(own_scores, truth_index)
    pooled, _ = class_scores(pooled_scores, truth_index)
    if own.shape != pooled.shape:
        raise InputError(f"scores have shapes {own.shape} and {pooled.shape}, expected the same")
    right = own.argmax(axis=1) == truth, pooled.argmax(axis=1) == truth
    return MappingGain(
        wilson(int(right[0].sum()), len(truth)),
        wilson(int(right[1].sum()), len(truth)),
        bootstrap_difference(right[0], right[1], lambda values: float(values.mean()), seed=seed),
    )
