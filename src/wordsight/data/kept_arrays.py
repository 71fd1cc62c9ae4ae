"""Large arrays kept in a folder, memory-mapped, and believed only if they are what was written.

    NAME.npy     the array
    NAME.json    what it was made of, its shape, a sum of every part, and a digest of all this

Sums are of the 64-bit words of some thousand rows: they are computed as fast as memory is read, and
a bit that flips, a page that is lost and a file that is cut short change them. They do not protect
against somebody who changes both files on purpose.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.files import atomic_write, write_text
from wordsight.locks import locked

SCHEMA = 1
MASK = (1 << 64) - 1


class KeptArrays:
    """The arrays of one folder that were made of one thing."""

    def __init__(self, folder: Path, made_of: str):
        """Name the folder, which need not be there, and say what its arrays must be made of."""
        self.folder = folder
        self._made_of = made_of

    def find(self, name: str) -> tuple[NDArray[Any], list[float]] | None:
        """Return an array and its notes; None if it is missing, damaged, or of something else.

        The array is mapped copy-on-write: changes to it never reach the file.
        """
        try:
            said = json.loads((self.folder / f"{name}.json").read_bytes())
            if said != self._description(said["shape"], said["type"], said["sums"], said["notes"]):
                return None
            array = _map(self.folder / f"{name}.npy", said["type"], said["shape"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (array, said["notes"]) if _agree(array, said["sums"]) else None

    def keep(
        self,
        name: str,
        blocks: Iterable[NDArray[Any]],
        *,
        shape: tuple[int, int],
        notes: Sequence[float] = (),
    ) -> tuple[NDArray[Any], list[float]] | None:
        """Write an array row by row, each file in one step, and return what `find` returns.

        Args:
            name: of its files.
            blocks: its rows, in order; at least one block.
            shape: of the whole.
            notes: numbers to keep with it; read after the last block.

        Raises:
            BusyError: if another process is writing in the folder.
            OSError: if it cannot be written.
        """
        sums: list[list[int]] = []
        kind = ""
        with locked(self.folder):
            with atomic_write(self.folder / f"{name}.npy") as file:
                for block in blocks:
                    rows = np.ascontiguousarray(block)
                    if not kind:
                        kind = rows.dtype.str
                        file.write(_header(kind, list(shape)))
                    file.write(rows.data)
                    sums.append([len(rows), _sum(rows)])
            said = self._description(list(shape), kind, sums, list(notes))
            write_text(self.folder / f"{name}.json", json.dumps(said))
        return self.find(name)

    def _description(
        self, shape: list[int], kind: str, sums: list[list[int]], notes: list[float]
    ) -> dict[str, Any]:
        said = {
            "schema": SCHEMA,
            "made_of": self._made_of,
            "shape": shape,
            "type": kind,
            "sums": sums,
            "notes": notes,
        }
        return {**said, "digest": hashlib.sha256(json.dumps(said).encode()).hexdigest()}


def _header(kind: str, shape: list[int]) -> bytes:
    """Return how numpy begins a file of such an array."""
    file = io.BytesIO()
    said = {"descr": kind, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(file, said)
    return file.getvalue()


def _map(path: Path, kind: str, shape: list[int]) -> NDArray[Any]:
    """Map a file that begins as it should; what else is in it is for the sums to say."""
    header = _header(kind, shape)
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            raise ValueError(path)
        return np.memmap(file, np.dtype(kind), "c", offset=len(header), shape=tuple(shape))


def _agree(array: NDArray[Any], sums: list[list[int]]) -> bool:
    start = 0
    for num_rows, total in sums:
        if _sum(array[start : start + num_rows]) != total:
            return False
        start += num_rows
    return start == len(array)


def _sum(rows: NDArray[Any]) -> int:
    raw = cast(NDArray[np.uint8], np.asarray(rows).reshape(-1).view(np.uint8))
    whole = len(raw) // 8 * 8
    total = int(raw[:whole].view(np.uint64).sum()) + int(raw[whole:].sum())
    return total & MASK
