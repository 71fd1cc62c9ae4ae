"""Many paths in little memory.

A Path of Python takes some 450 bytes; a hundred thousand of them would weigh more than a model.
"""

import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast, overload


class PathList(Sequence[Path]):
    """Paths that cannot be changed, kept as one string of bytes; each takes its length and 8."""

    def __init__(self, paths: Iterable[str | Path]):
        self._bytes = bytearray()
        self._ends = array("Q", [0])
        for path in paths:
            self._bytes += os.fsencode(path)
            self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> list[Path]: ...
    def __getitem__(self, place: int | slice) -> Path | list[Path]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        start, stop = self._ends[number], self._ends[number + 1]
        return Path(os.fsdecode(bytes(self._bytes[start:stop])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(cast(Sequence[object], other))

    __hash__ = None  # pyright: ignore[reportAssignmentType] - as of a list
