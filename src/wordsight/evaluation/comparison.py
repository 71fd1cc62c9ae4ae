"""Is one model better than another? Every two of them, on the pictures that both judged.

Shape letters: N pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.evaluation.results import (
    Prediction,
    Result,
    predictions_path,
    read_predictions,
)
from wordsight.metrics import Estimate, bootstrap_difference, holm, mcnemar, permutation

LEVEL = 0.05
MIN_COMMON = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two models on one data set by one method."""

    set: str
    method: str
    shots: int | None
    seed: int | None
    first: str
    """Name of a model."""
    second: str
    gain: Estimate
    """Share that the first got right, less that of the second; n is what both judged."""
    test: Literal["mcnemar", "permutation"]
    """McNemar's exact test, or where pictures belong together tosses of whole groups."""
    p: float
    p_holm: float
    """So small a p would be found in any of the comparisons made, by Holm's correction."""

    @property
    def is_significant(self) -> bool:
        """Whether the two differ, though many were compared."""
        return self.p_holm <= LEVEL


def compare(folder: Path, results: Sequence[Result], *, seed: int = 0) -> list[Comparison]:
    """Compare every two models on every data set and method that both were measured by.

    What is compared is whether the guess was right, whatever the metric of the data set: on that
    the pictures of both models can be paired. Retrieval counts what was found at the first place.

    Args:
        folder: of the evaluation.
        results: what is compared.
        seed: of bootstrap and permutations.

    Raises:
        DataError: if predictions are missing or damaged.
    """
    cells: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        key = (result.set, result.method, result.shots, result.seed, result.identity.get("data"))
        cells.setdefault(key, []).append(result)
    found: list[Comparison] = []
    for together in cells.values():
        if len(together) < MIN_COMMON:
            continue
        said = [read_predictions(predictions_path(folder, result)) for result in together]
        for one, other in combinations(range(len(together)), 2):
            pair = _pair(together[one], together[other], (said[one], said[other]), seed)
            if pair is not None:
                found.append(pair)
    return _corrected(found)


def _pair(
    first: Result, second: Result, said: tuple[list[Prediction], list[Prediction]], seed: int
) -> Comparison | None:
    ours, theirs = (_by_place(predictions) for predictions in said)
    common = [key for key in ours if key in theirs]
    if len(common) < MIN_COMMON:
        return None
    right = [_right(side, common) for side in (ours, theirs)]
    groups = [ours[key].group or f"{key}" for key in common]
    if first.method == "text-to-image":
        groups = [ours[key].truth[0] for key in common]
    is_grouped = 1 < len(set(groups)) < len(groups)
    gain = bootstrap_difference(
        right[0],
        right[1],
        lambda sample: float(sample.mean()),
        seed=seed,
        groups=groups if is_grouped else None,
    )
    if is_grouped:
        p = permutation(right[0], right[1], seed=seed, groups=groups)
    else:
        p = mcnemar(right[0], right[1])
    return Comparison(
        set=first.set,
        method=first.method,
        shots=first.shots,
        seed=first.seed,
        first=first.model,
        second=second.model,
        gain=gain,
        test="permutation" if is_grouped else "mcnemar",
        p=p,
        p_holm=p,
    )


def _by_place(predictions: Sequence[Prediction]) -> dict[tuple[str, int], Prediction]:
    """Return predictions by key; sentences may be there several times, in one order."""
    seen: dict[str, int] = {}
    found: dict[tuple[str, int], Prediction] = {}
    for prediction in predictions:
        number = seen.get(prediction.key, 0)
        seen[prediction.key] = number + 1
        found[prediction.key, number] = prediction
    return found


def _right(
    side: dict[tuple[str, int], Prediction], common: Sequence[tuple[str, int]]
) -> NDArray[np.float64]:
    return np.array([side[key].is_correct for key in common], dtype=np.float64)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    if not found:
        return []
    adjusted: list[float] = holm([one.p for one in found]).tolist()
    return [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]
