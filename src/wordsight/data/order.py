"""The order in which an epoch visits its examples, as a pure function."""

import numpy as np
from numpy.typing import NDArray

from wordsight.errors import ConfigError

MAX_SEED = 2**63 - 1


def epoch_order(n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the permutation of 0..n-1 that belongs to (seed, epoch, n), always the same one.

    Nothing has to be saved to resume: a run that stopped at step s of epoch e computes the order
    again and goes on from there. Each index is given the next 64 random bits of the counter-based
    generator Philox4x64 (Salmon et al., 2011) with the key (seed, epoch), and the indices are
    sorted by them. Unlike `Generator.permutation`, whose algorithm numpy may change, these bits
    are fixed by the definition of Philox.

    Raises:
        ConfigError: if a number is negative, or above 2**63 - 1.
    """
    for name, value in (("n", n), ("seed", seed), ("epoch", epoch)):
        if not 0 <= value <= MAX_SEED:
            raise ConfigError(f"{name} is {value}, expected 0 to {MAX_SEED}")
    generator = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
    return np.argsort(generator.random_raw(n), kind="stable").astype(np.int64)
