"""The vectors of a Parquet file as a memory map: written once into a hidden folder beside it.

`photos.parquet` gets `.photos.parquet.index`, made anew whenever the file is another. Where the
folder cannot be written, the vectors are read into memory, as those of small files always are.
"""

import hashlib
import os
import time

import numpy as np
from numpy.typing import NDArray

from wordsight.data.embedding_table import EmbeddingTable
from wordsight.data.kept_arrays import KeptArrays
from wordsight.errors import BusyError

SMALLEST_BYTES = 1 << 24
"""Vectors that take less are read in a blink."""
SETTLED_S = 2.0
"""A file that changed so recently could change again and keep its time of change."""
FOOTER_BYTES = 1 << 16


def open_vectors(table: EmbeddingTable) -> tuple[NDArray[np.float32], KeptArrays | None]:
    """Return all vectors (N, E), and where more can be kept that is made of them.

    Raises:
        DataError: if the file is damaged.
    """
    shape = (len(table), table.made_by.embed_dim)
    if 4 * shape[0] * shape[1] < SMALLEST_BYTES:
        return table.vectors(), None
    state = _state(table)
    kept = KeptArrays(table.path.parent / f".{table.path.name}.index", state)
    found = kept.find("vectors")
    if found is None and time.time() - table.path.stat().st_mtime > SETTLED_S:
        try:
            found = kept.keep("vectors", table.groups(), shape=shape)
        except (OSError, BusyError):
            return table.vectors(), None
    if found is None or found[0].shape != shape or _state(table) != state:
        return table.vectors(), None
    return found[0], kept


def _state(table: EmbeddingTable) -> str:
    """Say which file it is: its size, time of change, number on the disk, and last bytes.

    The last bytes of a Parquet file say where each of its pages lies.
    """
    with table.path.open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - FOOTER_BYTES))
        footer = hashlib.sha256(file.read()).hexdigest()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {footer}"
