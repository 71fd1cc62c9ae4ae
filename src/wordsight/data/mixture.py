"""Several sources as one, each shown more or less often."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wordsight.data.examples import Example, Examples, fingerprint
from wordsight.data.names import Names
from wordsight.data.order import epoch_order
from wordsight.errors import ConfigError


class Mixture:
    """Several sources as one, in which an example of source i occurs `weights[i]` times.

    From a source of n examples with weight w come round(w * n) examples, at least one: every
    example floor(w) times, and once more those that `epoch_order(n, seed=0, epoch=0)` puts first.
    So weights of 1 join the sources, 3 shows one three times as often as it would be, and 0.25
    leaves three quarters of it out, the same ones in every epoch. To show all of two sources of
    900 and 100 examples equally often, give the weights 1 and 9.

    The j-th of c examples of a source stands at (j + 1/2) / c of the way, so that every stretch
    holds all sources in their proportions. Names begin with the number of the source; an example
    that occurs several times always has the same one.

    Raises:
        ConfigError: if there is not one finite weight above 0 for every source, or a source is
            empty.
    """

    def __init__(self, sources: Sequence[Examples], weights: Sequence[float] | None = None):
        self.sources = tuple(sources)
        self.weights = (1.0,) * len(self.sources) if weights is None else tuple(weights)
        _check(self.sources, self.weights)
        chosen = [
            _chosen(len(source), weight)
            for source, weight in zip(self.sources, self.weights, strict=True)
        ]
        ways = [(np.arange(len(part)) + 0.5) / len(part) for part in chosen]
        numbers = [np.full(len(part), number) for number, part in enumerate(chosen)]
        order = np.argsort(np.concatenate(ways), kind="stable")
        self._source = np.concatenate(numbers).astype(np.int32)[order]
        self._place = np.concatenate(chosen)[order]

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, index: int, /) -> Example:
        number, place = int(self._source[index]), int(self._place[index])
        example = self.sources[number][place]
        return replace(example, key=f"{number}/{example.key}")

    @property
    def keys(self) -> Names:
        """Name of every example: the number of its source, and its name there."""
        names = [source.keys for source in self.sources]

        def name(index: int) -> str:
            number = int(self._source[index])
            return f"{number}/{names[number][int(self._place[index])]}"

        return Names(len(self), name)

    @property
    def fingerprint(self) -> str:
        """Digest of the sources and of how often each is shown."""
        counts = np.bincount(self._source).tolist()
        return fingerprint(
            (source.fingerprint, str(count))
            for source, count in zip(self.sources, counts, strict=True)
        )


def _check(sources: Sequence[Examples], weights: Sequence[float]) -> None:
    if not sources or len(weights) != len(sources):
        raise ConfigError(f"{len(weights)} weights for {len(sources)} sources; expected one each")
    for number, (source, weight) in enumerate(zip(sources, weights, strict=True)):
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"the weight of source {number} is {weight}, expected a number above 0"
            )
        if not len(source):
            raise ConfigError(f"source {number} is empty")


def _chosen(count: int, weight: float) -> NDArray[np.int64]:
    """Return the examples of a source that are shown, each as often as it is."""
    times, rest = divmod(max(1, round(weight * count)), count)
    whole = np.tile(np.arange(count, dtype=np.int64), times)
    return np.concatenate([whole, np.sort(epoch_order(count, seed=0, epoch=0)[:rest])])
