"""Which pixels go into a resized pixel, and with what weights: Pillow's, to the last bit.

A filter that is as wide as the coarser of the two scales, its weights rounded to 2**-22 (Pillow,
Resample.c: precompute_coeffs, normalize_coeffs_8bpc). Along one axis:

    centre of output i     (i + 1/2) scale                      scale = in / out
    its first input        floor(centre - reach + 1/2), at least 0
    its weights            filter((input - centre + 1/2) / max(scale, 1)), then divided by their sum

Shape letters: O outputs kept, T taps of an output, B outputs of a block, I inputs of a block.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wordsight.images.recipe import Interpolation

ONE = 2**22
"""What stands for a weight of 1."""
BLOCK = 16
"""Outputs computed by one product: more means more multiplications by 0, fewer means more calls."""
_REACH = {"bicubic": 2.0, "bilinear": 1.0}
_FLOAT_BITS = 24
_LARGEST_VALUE = 255
_MARGIN = 2.0**-14
"""Above the rounding error of adding 1/2 to a value below 1024 in float32."""


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring outputs, which look at neighbouring inputs: one small product of matrices."""

    outputs: slice
    """Places of the outputs, counted from the first that is kept."""
    inputs: slice
    """Places of the inputs, counted from the first that any output looks at."""
    weights: NDArray[np.float32]
    """Weight of every input in every output, 0 where it does not look; (I, B)."""


@dataclass(frozen=True, slots=True)
class Taps:
    """One axis of a resizing, for the outputs that are kept."""

    low: int
    """First input that any of them looks at."""
    high: int
    """One past the last."""
    inputs: NDArray[np.intp]
    """What each output looks at, counted from `low`; (O, T)."""
    weights: NDArray[np.float64]
    """Weight of each of them, a multiple of 2**-22; (O, T). Filled up with 0."""
    doubt: float
    """What a sum of weighted grey levels in float32, plus 1/2, may be wrong by."""
    is_settled: NDArray[np.bool_]
    """Outputs whose sums have no error, and are halves or farther from one than `doubt`; (O,)."""
    blocks: tuple[Block, ...]


@lru_cache(maxsize=128)
def taps(num_in: int, num_out: int, first: int, stop: int, interpolation: Interpolation) -> Taps:
    """Return how outputs `first` to `stop` of `num_out` come from `num_in` inputs."""
    scale = num_in / num_out
    width = max(scale, 1.0)
    reach = _REACH[interpolation] * width
    centres = (np.arange(first, stop) + 0.5) * scale
    starts = np.maximum(0, (centres - reach + 0.5).astype(np.int64))
    stops = np.minimum(num_in, (centres + reach + 0.5).astype(np.int64))
    num_taps = int((stops - starts).max())
    inputs = starts[:, None] + np.arange(num_taps)
    places = (inputs - centres[:, None] + 0.5) * (1.0 / width)
    shares = _bicubic(places) if interpolation == "bicubic" else _bilinear(places)
    shares[inputs >= stops[:, None]] = 0.0
    shares /= shares.cumsum(axis=1)[:, -1:]  # summed one after the other, as Pillow does
    weights = np.trunc(shares * ONE + np.copysign(0.5, shares)).astype(np.int64)
    doubt = _doubt(weights)
    is_settled = _is_settled(weights, doubt)
    low, high = int(starts[0]), int(stops[-1])
    return Taps(
        low=low,
        high=high,
        inputs=np.minimum(inputs, high - 1) - low,
        weights=weights / ONE,
        doubt=doubt,
        is_settled=is_settled,
        blocks=tuple(_blocks(starts - low, stops - low, weights)),
    )


def _bicubic(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's cubic convolution with a = -1/2 (Keys, 1981, equation 4)."""
    x = np.abs(places)
    near = ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _bilinear(places: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(places)
    return np.where(x < 1.0, 1.0 - x, 0.0)


def _doubt(weights: NDArray[np.int64]) -> float:
    """Bound the error of a float32 sum, whatever its order (Higham, 2002, equation 3.5)."""
    largest = _LARGEST_VALUE * float(np.abs(weights).sum(axis=1).max()) / ONE
    return (weights.shape[1] + 1) * 2.0**-_FLOAT_BITS * largest + _MARGIN


def _is_settled(weights: NDArray[np.int64], doubt: float) -> NDArray[np.bool_]:
    """Find weights that are whole multiples of a large power of 2: nothing has to be rounded.

    Halving the size gives such weights, and many sums that are a half exactly.
    """
    set_bits = np.bitwise_or.reduce(weights, axis=1) | ONE // 2
    unit = set_bits & -set_bits
    total = np.abs(weights).sum(axis=1)
    has_no_error = (_LARGEST_VALUE * total + ONE // 2) // unit < 2**_FLOAT_BITS
    return has_no_error & (unit > 2 * doubt * ONE)


def _blocks(
    starts: NDArray[np.int64], stops: NDArray[np.int64], shares: NDArray[np.int64]
) -> Generator[Block]:
    num_outputs = len(shares)
    outputs = np.arange(num_outputs)
    firsts = outputs[::BLOCK]
    places = starts - starts[firsts].repeat(BLOCK)[:num_outputs]
    within = places[:, None] + np.arange(len(shares[0]))
    matrices = np.zeros((len(firsts), int(within.max()) + 1, BLOCK), np.float32)
    matrices[(outputs // BLOCK)[:, None], within, (outputs % BLOCK)[:, None]] = shares / ONE
    for matrix, first in zip(matrices, firsts.tolist(), strict=True):
        stop = min(first + BLOCK, num_outputs)
        inputs = slice(int(starts[first]), int(stops[stop - 1]))
        weights = matrix[: inputs.stop - inputs.start, : stop - first]
        yield Block(outputs=slice(first, stop), inputs=inputs, weights=weights)
