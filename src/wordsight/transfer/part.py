"""Vectors that an index searches, and their copy in bfloat16, made when it pays.

Shape letters: N rows, E embedding width.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wordsight.data.kept_arrays import KeptArrays
from wordsight.errors import BusyError
from wordsight.transfer import bfloat16_scan
from wordsight.transfer.bfloat16_scan import Rounded
from wordsight.transfer.rows import Rows

NAME = "bfloat16"


class Part:
    """Rows that were added together."""

    def __init__(self, rows: Rows, kept: KeptArrays | None = None):
        """Take rows, and where more can be kept that is made of them; memory if not given."""
        self.rows = rows
        self.rounded: Rounded | None = None
        self.kept = kept
        self._num_asked = 0

    def expect(self, num_queries: int) -> None:
        """Note that queries are about to be asked, and make the copy once it pays.

        A copy costs about as much as `FEWEST_ASKED` queries gain by it: it is made when so many
        were asked without, so a search never takes more than twice the time of the better way.
        """
        is_small = len(self.rows.vectors) < bfloat16_scan.FEWEST_ROWS
        if self.rounded is not None or is_small or num_queries < bfloat16_scan.FEWEST_QUERIES:
            return
        self._num_asked += num_queries
        is_worth = self._num_asked >= bfloat16_scan.FEWEST_ASKED
        num_products = self._num_asked * len(self.rows.vectors)
        is_loaded = "torch" in sys.modules
        is_worth &= is_loaded or num_products >= bfloat16_scan.WORTH_LOADING
        if is_worth and bfloat16_scan.is_fast_here():
            self.rounded = self._kept_copy() or Rounded.of(self.rows)

    def _kept_copy(self) -> Rounded | None:
        """Map the copy that lies beside the vectors; make it if there is none."""
        if self.kept is None:
            return None
        found = self.kept.find(NAME)
        if found is None:
            losses: list[float] = []
            shape = self.rows.vectors.shape
            try:
                found = self.kept.keep(NAME, self._codes(losses), shape=shape, notes=losses)
            except (OSError, BusyError):
                return None
        if found is None or not _fits(found[0], self.rows):
            return None
        return Rounded(found[0], np.array(found[1]))

    def _codes(self, losses: list[float]) -> Iterator[NDArray[np.int16]]:
        for codes, loss in bfloat16_scan.round_blocks(self.rows):
            losses.append(loss)
            yield codes


def _fits(codes: NDArray[np.generic], rows: Rows) -> bool:
    return codes.shape == rows.vectors.shape and codes.dtype == np.int16
