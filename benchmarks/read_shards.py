"""Samples per second out of tar shards, bytes only: against webdataset, in one process.

python benchmarks/read_shards.py "../shared/data/tiny_imagenet/train-*.tar"

webdataset reads in the order of the files; wordsight in that order, and shuffled over all shards.
The last line is a first pass: indexing, which a cache saves the next time, and one shuffled epoch.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

from quiet import watched

from wordsight.data.order import epoch_order
from wordsight.data.shard_paths import find_shards
from wordsight.data.shards import open_shards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    import webdataset

    warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves files open
    paths = [str(path) for path in find_shards(options.shards)]
    shards = open_shards(options.shards)
    count = len(shards)
    order = epoch_order(count, seed=0, epoch=0).tolist()

    def theirs() -> int:
        return sum(
            len(sample["jpg"]) + len(sample["txt"])
            for sample in webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)
        )

    def ours() -> int:
        return read(shards, range(count))

    def shuffled() -> int:
        return read(shards, order)

    def first() -> int:
        return read(open_shards(options.shards), order)

    sides: dict[str, Callable[[], int]] = {
        "webdataset, in order": theirs,
        "wordsight, in order": ours,
        "wordsight, shuffled": shuffled,
        "wordsight, first pass": first,
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    totals: set[int] = set()
    for _ in range(options.rounds):
        for name, side in sides.items():
            begun = time.perf_counter()
            totals.add(side())
            times[name].append(time.perf_counter() - begun)
    assert len(totals) == 1, totals  # all read the same bytes
    base = statistics.median(times["webdataset, in order"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:22} {count / median:8.0f} samples/s  x{base / median:.1f}")


def read(shards, places) -> int:
    total = 0
    for place in places:
        example = shards[place]
        total += len(example.image) + len(example.texts[0].encode())
    return total


if __name__ == "__main__":
    with watched():
        main()
