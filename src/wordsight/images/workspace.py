"""Memory that one thread uses again for every picture: fresh memory costs as much as the work."""

import math

import numpy as np
from numpy.typing import NDArray


class Workspace:
    """Arrays by name that grow to the largest size asked for; each use of a name ends the last."""

    def __init__(self) -> None:
        self._blocks: dict[str, NDArray[np.uint8]] = {}

    def bytes(self, name: str, *shape: int) -> NDArray[np.uint8]:
        """Return an array of bytes with any content."""
        length = math.prod(shape)
        block = self._blocks.get(name)
        if block is None or len(block) < length:
            block = self._blocks[name] = np.empty(length, np.uint8)
        return block[:length].reshape(shape)

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return an array of float32 with any content."""
        return self.bytes(name, 4 * math.prod(shape)).view(np.float32).reshape(shape)
