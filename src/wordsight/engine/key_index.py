"""Where the rows of many keys lie, in 40 bytes a key.

Shape letters: N keys.
"""

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32


class KeyIndex:
    """Numbers by key; the keys are kept sorted in one array."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, f"S{KEY_BYTES}")
        self._numbers = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        """Return the number of a key."""
        place = int(np.searchsorted(self._keys, key))
        # numpy takes zeros at the end for padding; equal lengths make that harmless.
        if place < len(self._keys) and self._keys[place] == key.rstrip(b"\0"):
            return int(self._numbers[place])
        return None

    def add(self, keys: NDArray[np.uint8], numbers: NDArray[np.int64]) -> None:
        """Add keys (N, 32) with their numbers (N,); those that are there keep theirs."""
        packed = np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
        packed, first = np.unique(packed, return_index=True)
        places = np.searchsorted(self._keys, packed)
        is_new = np.ones(len(packed), np.bool_)
        inside = places < len(self._keys)
        is_new[inside] = self._keys[places[inside]] != packed[inside]
        self._keys = np.insert(self._keys, places[is_new], packed[is_new])
        self._numbers = np.insert(self._numbers, places[is_new], numbers[first][is_new])
