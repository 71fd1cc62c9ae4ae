"""From picture files to arrays of a tower: decoding overlaps with encoding.

Worker threads decode, resize and normalise the next batches (Pillow and numpy let other threads
run meanwhile) while the engine works on the current one.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.pace import Pace
from wordsight.engine.runner import Runner
from wordsight.errors import ImageError
from wordsight.images import ImageSource, PreparedBatch, Preprocessing, Reading, prepare_batch

BATCHES_AHEAD = 3
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """What a tower says of some pictures, and which of them could not be read."""

    arrays: dict[str, NDArray[np.float32]]
    """Rows for the good pictures, in the order given."""
    indices: list[int]
    """Place of each row among all sources."""
    errors: list[tuple[int, ImageError]]
    """Place and reason of every bad picture."""
    pace: Pace
    """Where the time since the batch before went."""


def encode_pictures(
    runner: Runner,
    sources: Sequence[ImageSource],
    preprocessing: Preprocessing,
    *,
    outputs: Sequence[str],
    batch_size: int = 16,
    reading: Reading | None = None,
    opened: Callable[[ImageSource], ImageSource] | None = None,
) -> Generator[EncodedBatch]:
    """Yield the arrays of all pictures, batch by batch, in order; a bad one costs only its slot.

    At most three batches more than there are threads are held, however many pictures there are.

    Args:
        runner: the tower.
        sources: files, bytes, pictures or arrays.
        preprocessing: how the tower wants them.
        outputs: names of the arrays to return.
        batch_size: pictures per call of the tower.
        reading: how files are read.
        opened: opens or changes a picture first, in the worker thread; may raise ImageError.
    """
    upcoming = iter(range(0, len(sources), batch_size))
    settings = reading or Reading()

    def prepare(start: int) -> tuple[PreparedBatch, float]:
        begun = perf_counter()
        batch = list(sources[start : start + batch_size])
        if opened:
            batch = [_open(opened, source) for source in batch]
        prepared = prepare_batch(batch, preprocessing, reading=settings, threads=1)
        return prepared, perf_counter() - begun

    threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[int, Future[tuple[PreparedBatch, float]]]] = deque()
        last = perf_counter()
        try:
            while True:
                while len(waiting) < threads + BATCHES_AHEAD and (
                    (start := next(upcoming, None)) is not None
                ):
                    waiting.append((start, pool.submit(prepare, start)))
                if not waiting:
                    return
                start, future = waiting.popleft()
                encoded = _encode(runner, future, outputs, start, last)
                last += encoded.pace.seconds
                yield encoded
        finally:
            pool.shutdown(cancel_futures=True)


def _open(opened: Callable[[ImageSource], ImageSource], source: ImageSource) -> ImageSource:
    try:
        return opened(source)
    except ImageError:
        return source  # preparing it raises the same error, in its own slot


def _encode(
    runner: Runner,
    future: Future[tuple[PreparedBatch, float]],
    outputs: Sequence[str],
    start: int,
    last: float,
) -> EncodedBatch:
    asked = perf_counter()
    batch, preparing = future.result()
    begun = perf_counter()
    arrays = dict(runner.run(batch.pixels, outputs)) if batch.indices else {}
    done = perf_counter()
    return EncodedBatch(
        arrays=arrays,
        indices=[start + index for index in batch.indices],
        errors=[(start + index, error) for index, error in batch.errors],
        pace=Pace(
            pictures=len(batch.indices) + len(batch.errors),
            seconds=done - last,
            encoding=done - begun,
            waiting=begun - asked,
            preparing=preparing,
        ),
    )
