"""What a student lost, and what it gained: against its parent, on pictures it did not learn from.

Shape letters: N pictures, E joint space, S side.
"""

import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.runner import Runner
from wordsight.metrics import Estimate, wilson
from wordsight.transfer.class_vectors import ClassVectors

ROUNDS, BATCH = 7, 16
SECONDS = 20.0
"""What a measurement of speed may take; slow towers get fewer rounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How closely a student says what its parent says."""

    agreement: Estimate
    """Share of pictures of which both find the same sentence fits best."""
    mean_cosine: Estimate
    """Between both vectors of a picture."""
    smallest_cosine: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tower:
    """What an image tower costs."""

    parameters: int
    num_bytes: int
    pictures_per_s: float
    """Prepared pictures through the tower, in batches of 16; decoding is not in it."""
    image_size: int
    engine: str


def compare(
    student: NDArray[np.float32], parent: NDArray[np.float32], sentences: ClassVectors
) -> Comparison:
    """Compare unit vectors (N, E) of the same pictures."""
    cosines = (student.astype(np.float64) * parent).sum(axis=1)
    n, mean = len(cosines), float(cosines.mean())
    half = 1.96 * float(cosines.std(ddof=1)) / math.sqrt(n) if n > 1 else 1.0
    top = [sentences.cosines(vectors).argmax(axis=1) for vectors in (student, parent)]
    return Comparison(
        agreement=wilson(int(np.equal(*top).sum()), n),
        mean_cosine=Estimate(mean, max(-1.0, mean - half), min(1.0, mean + half), n),
        smallest_cosine=float(cosines.min()),
    )


def pictures_per_second(towers: dict[str, tuple[Runner, int]]) -> dict[str, float]:
    """Time towers in turns, each on grey pictures of its own size; medians of wall time.

    Args:
        towers: runner and side S of the pictures, by name.
    """
    batches = {
        name: np.zeros((BATCH, 3, side, side), np.float32) for name, (_, side) in towers.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in towers}
    begun = time.perf_counter()
    for number in range(ROUNDS + 1):
        for name, (runner, _) in towers.items():
            start = time.perf_counter()
            runner.run(batches[name])
            if number:  # the first call of an engine prepares it
                seconds[name].append(time.perf_counter() - start)
        if number and time.perf_counter() - begun > SECONDS:
            break
    return {name: BATCH / statistics.median(found) for name, found in seconds.items()}
