"""The most this machine multiplies in a second, measured with what is installed.

Square matrices of several sizes, the fastest of many products: numpy and torch in float32, torch
in bfloat16 and int8. It runs in a process of its own, `python -m wordsight.speed.peak`, where the
number of threads can be set, and where torch does not weigh on what is measured next.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wordsight.config import from_dict, to_dict
from wordsight.packages import is_installed, require
from wordsight.speed.child import answer, read_job, run_module

SIZES = (256, 512, 1024, 2048)
BURST_SHARE = 4
"""A size is tried if one product of it takes less than this part of the time."""
ArithmeticName = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The fastest matrix product of one arithmetic."""

    arithmetic: ArithmeticName
    per_second: float
    """Multiplications and additions."""
    library: str
    size: int
    """Rows and columns of the matrices."""


def measure_peaks(*, threads: int | None = None, seconds: float = 0.5) -> dict[str, Peak]:
    """Return the fastest product of each arithmetic, by its name.

    Without torch only float32 can be measured; nothing is guessed for the others.

    Args:
        threads: threads of the libraries; as many as they like if not given.
        seconds: for each arithmetic and library.
    """
    job = {"threads": threads, "seconds": seconds}
    found = json.loads(run_module("wordsight.speed.peak", job, threads=threads)[-1].text)
    peaks = [from_dict(Peak, values, where="peak") for values in found]
    fastest: dict[str, Peak] = {}
    for peak in sorted(peaks, key=lambda peak: peak.per_second):
        fastest[peak.arithmetic] = peak
    return fastest


def fastest_product(
    prepare: Callable[[int], Callable[[], object]], seconds: float
) -> tuple[float, int]:
    """Return the greatest number of operations in a second, and at which size it was reached.

    Args:
        prepare: returns what multiplies two square matrices of a size.
        seconds: for all sizes together.
    """
    best, best_size, end = 0.0, 0, time.perf_counter() + seconds
    for place, size in enumerate(SIZES):
        multiply = prepare(size)
        multiply()  # threads and buffers are made
        left = (end - time.perf_counter()) / (len(SIZES) - place)
        until, first = time.perf_counter() + left, True
        while first or time.perf_counter() < until:
            begun = time.perf_counter()
            multiply()
            taken = time.perf_counter() - begun
            first = False
            if 2 * size**3 / taken > best:
                best, best_size = 2 * size**3 / taken, size
        next_s = 8 * 2 * size**3 / best
        if next_s > max(0.0, end - time.perf_counter()) / BURST_SHARE:
            break
    return best, best_size


def _products(threads: int | None) -> Mapping[tuple[ArithmeticName, str], Any]:
    """Return what prepares a product, by arithmetic and library."""

    def of_numpy(size: int) -> Callable[[], object]:
        rng = np.random.default_rng(0)
        left, right = rng.standard_normal((2, size, size), dtype=np.float32)
        out = np.empty_like(left)
        return lambda: np.matmul(left, right, out=out)

    products: dict[tuple[ArithmeticName, str], Any] = {("float32", "numpy"): of_numpy}
    if not is_installed("torch"):
        return products
    torch = require("torch", extra="torch")
    if threads is not None:
        torch.set_num_threads(threads)

    def of_torch(dtype: Any) -> Callable[[int], Callable[[], object]]:
        def prepare(size: int) -> Callable[[], object]:
            torch.manual_seed(0)
            left, right = torch.randn(2, size, size).to(dtype)
            out = torch.empty_like(left)
            return lambda: torch.mm(left, right, out=out)

        return prepare

    def of_integers(size: int) -> Callable[[], object]:
        torch.manual_seed(0)
        left, right = torch.randint(-127, 128, (2, size, size), dtype=torch.int8)
        return lambda: torch._int_mm(left, right)

    return {
        **products,
        ("float32", "torch"): of_torch(torch.float32),
        ("bfloat16", "torch"): of_torch(torch.bfloat16),
        ("int8", "torch"): of_integers,
    }


def main() -> None:
    """Measure, and print one line of JSON."""
    job = read_job()
    found: list[dict[str, Any]] = []
    for (arithmetic, library), prepare in _products(job["threads"]).items():
        try:
            speed, size = fastest_product(prepare, job["seconds"])
        except (RuntimeError, AttributeError):  # this build of torch has no such product
            continue
        peak = Peak(arithmetic=arithmetic, per_second=speed, library=library, size=size)
        found.append(to_dict(peak))
    answer(found)


if __name__ == "__main__":
    main()
