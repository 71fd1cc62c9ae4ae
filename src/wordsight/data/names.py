"""Names that are made when they are asked for: millions of them need not be kept."""

from collections.abc import Callable, Sequence
from typing import overload


class Names(Sequence[str]):
    """A sequence of `count` names, the i-th of which is `name(i)`."""

    def __init__(self, count: int, name: Callable[[int], str]):
        self._places, self._name = range(count), name

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(place) for place in self._places[index]]
        return self._name(self._places[index])
