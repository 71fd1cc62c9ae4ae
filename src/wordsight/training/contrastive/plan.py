"""Which example stands where in which step: a pure function, so that nothing has to be saved.

Sample k of a run is example `epoch_order(n, seed, k // n)[k % n]`; step s compares the samples
s * batch_size to (s + 1) * batch_size - 1. Ranks and workers take parts of a step's samples, and a
resumed run asks for the next step: the order is the same whatever their number.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wordsight.data.order import epoch_order


@dataclass(slots=True)
class BatchPlan:
    """The steps of a run."""

    num_examples: int
    batch_size: int
    epochs: float
    seed: int
    _orders: dict[int, NDArray[np.int64]] = field(
        default_factory=dict[int, NDArray[np.int64]], init=False, repr=False, compare=False
    )
    """Orders of the last epochs asked for: one of a million examples takes a tenth of a second."""

    @property
    def num_steps(self) -> int:
        """Steps of the whole run; the last one may go a little beyond the last epoch."""
        return max(1, self._steps(self.epochs))

    def step_of_epoch(self, epochs: float) -> int:
        """Return the number of steps after which so many epochs are over."""
        return min(self.num_steps, self._steps(epochs))

    def _steps(self, epochs: float) -> int:
        return math.ceil(self.num_examples * epochs / self.batch_size)

    def samples(self, step: int) -> NDArray[np.int64]:
        """Return the numbers (B,) of the samples of a step."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)

    def examples(self, step: int) -> NDArray[np.int64]:
        """Return the example (B,) that each sample of a step shows."""
        epochs, places = np.divmod(self.samples(step), self.num_examples)
        shown = np.empty_like(places)
        for epoch in np.unique(epochs):
            shown[epochs == epoch] = self._order(int(epoch))[places[epochs == epoch]]
        return shown

    def _order(self, epoch: int) -> NDArray[np.int64]:
        order = self._orders.get(epoch)
        if order is None:
            order = epoch_order(self.num_examples, seed=self.seed, epoch=epoch)
            self._orders = {
                known: self._orders[known] for known in (epoch - 1,) if known in self._orders
            }
            self._orders[epoch] = order
        return order


def sample_generator(seed: int, sample: int) -> np.random.Generator:
    """Return the source of randomness of one sample: what is drawn for it never depends on others.

    Philox (Salmon et al., 2011) with the key (seed, sample); `epoch_order` uses (seed, epoch), so
    the high bit of the sample is set here to keep the two apart.
    """
    key = np.array([seed, sample | 1 << 63], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
