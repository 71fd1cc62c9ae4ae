"""The one interface of all engines: a graph that maps one batch to named arrays.

Shape letters: N batch, S image side, L tokens, E joint space, D features, K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wordsight.model.outputs import EMBEDDING


class Runner(Protocol):
    """One tower on one engine."""

    path: Path
    """File of the weights, for messages."""
    outputs: tuple[str, ...]
    """Names of the arrays it can return."""
    takes_any_length: bool
    """Whether columns of padding at the end of token ids may be left away: the rows stay the
    same."""

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Map pixels (N, 3, S, S) float32, or token ids (N, L) int64, to the arrays named."""
        ...
