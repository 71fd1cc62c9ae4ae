"""What a search found.

Shape letters: Q queries, K places.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best of an index for each query, best first."""

    keys: list[list[Any]]
    """Q lists of K keys."""
    scores: NDArray[np.float32]
    """(Q, K) cosines."""

    @classmethod
    def of(
        cls,
        rows: Iterable[Iterable[int]],
        scores: NDArray[np.float32],
        keys: Sequence[Hashable],
    ) -> "Found":
        """Name rows of an index by its keys."""
        return cls([[keys[row] for row in of_query] for of_query in rows], scores)
