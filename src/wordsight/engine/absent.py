"""The text tower of an edge bundle: there is none, and whoever asks it something is told so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.model.outputs import EMBEDDING


class AbsentTower:
    """Stands where a tower would, so that nobody has to ask whether there is one."""

    outputs: tuple[str, ...] = ()
    takes_any_length = True

    def __init__(self, bundle: Bundle):
        self.path = bundle.path
        self._bundle = bundle

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] = (EMBEDDING,)
    ) -> Mapping[str, NDArray[np.float32]]:
        """Refuse.

        Raises:
            InputError: always, saying what to do.
        """
        self._bundle.need_text()
        raise AssertionError("a bundle with a text tower has it")
