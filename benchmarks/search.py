"""Exact search: queries per second of ws.Index, against brute force of four other libraries.

python benchmarks/search.py                        # 100,000 x 512
python benchmarks/search.py --rows 1000000         # 5 GB: faiss and the copy in bfloat16 too
python benchmarks/search.py --threads 2

Vectors are random, clustered like those of pictures, and of unit length. Every rival gets the same
vectors in memory and the same queries, and takes turns with the others; medians of CPU seconds and
of wall seconds. Recall is that of the rows which float64 brute force finds. torch, faiss and
usearch run where they are installed, and are named where they are not. Before the clock starts,
ws.Index is asked until it has made its copy in bfloat16, which torch and the processor must know;
what that took is printed. Without, it scans in float32.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

WARM_UP = 512
"""Queries at a time before the clock starts: the copy is made once it pays."""
BLOCK = 16_384


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    # Libraries read these when they are imported.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    return options


OPTIONS = parse()

import numpy as np  # noqa: E402
from quiet import watched  # noqa: E402

import wordsight as ws  # noqa: E402
from wordsight.packages import is_installed  # noqa: E402

Search = Callable[[np.ndarray], np.ndarray]


def draw(rows: int, width: int, seed: int, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((1000, width), dtype=np.float32)
    out = np.empty((rows, width), np.float32)
    for start in range(0, rows, BLOCK):
        block = out[start : start + BLOCK]
        rng.standard_normal(out=block, dtype=np.float32)
        block *= spread
        block += centres[rng.integers(0, 1000, len(block))]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return out


def numpy_search(vectors: np.ndarray, k: int) -> Search:
    def search(queries: np.ndarray) -> np.ndarray:
        places = np.zeros((len(queries), 0), np.int64)
        scores = np.zeros((len(queries), 0), np.float32)
        for start in range(0, len(vectors), BLOCK):
            found = queries @ vectors[start : start + BLOCK].T
            best = np.argpartition(-found, min(k, found.shape[1]) - 1, axis=1)[:, :k]
            places = np.hstack([places, best + start])
            scores = np.hstack([scores, np.take_along_axis(found, best, axis=1)])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            places, scores = (np.take_along_axis(a, order, axis=1) for a in (places, scores))
        return places

    return search


def torch_search(vectors: np.ndarray, k: int) -> Search:
    import torch

    torch.set_num_threads(OPTIONS.threads)
    gallery = torch.from_numpy(vectors)

    def search(queries: np.ndarray) -> np.ndarray:
        asked, found = torch.from_numpy(queries), []
        for start in range(0, len(gallery), BLOCK):
            scores = asked @ gallery[start : start + BLOCK].T
            values, places = torch.topk(scores, min(k, scores.shape[1]), dim=1)
            found.append((values, places + start))
        values, order = torch.cat([one for one, _ in found], 1).topk(k, dim=1)
        return torch.cat([one for _, one in found], 1).gather(1, order).numpy()

    return search


def faiss_search(vectors: np.ndarray, k: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(OPTIONS.threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda queries: index.search(queries, k)[1]


def usearch_search(vectors: np.ndarray, k: int) -> Search:
    from usearch.index import search

    threads = OPTIONS.threads
    return lambda queries: search(
        vectors, queries, k, metric="ip", exact=True, threads=threads
    ).keys.reshape(len(queries), -1)


RIVALS: dict[str, tuple[str, Callable[[np.ndarray, int], Search]]] = {
    "numpy float32": ("numpy", numpy_search),
    "torch float32": ("torch", torch_search),
    "faiss flat": ("faiss", faiss_search),
    "usearch exact": ("usearch", usearch_search),
}


def main() -> None:
    vectors = draw(OPTIONS.rows, OPTIONS.width, seed=1)
    begun = time.perf_counter()
    index = ws.Index(vectors)
    print(f"{OPTIONS.rows:,} x {OPTIONS.width}, top {OPTIONS.top}, {OPTIONS.threads} thread(s)")
    print(f"opening the index: {time.perf_counter() - begun:.2f} s, once")
    searches: dict[str, Search] = {
        "ws.Index": lambda queries: np.array(index.search(queries, OPTIONS.top).keys),
    }
    for name, (package, rival) in RIVALS.items():
        if is_installed(package):
            searches[name] = rival(vectors, OPTIONS.top)
        else:
            print(f"{name}: not compared, {package} is not installed")
    warm_up(index)
    for count in OPTIONS.queries:
        compare(searches, vectors, draw(count, OPTIONS.width, seed=2))


def warm_up(index: ws.Index) -> None:
    if is_installed("torch"):
        import torch

        torch.set_num_threads(OPTIONS.threads)
    used = time.process_time()
    index.search(draw(WARM_UP, OPTIONS.width, seed=3), OPTIONS.top)
    first = time.process_time() - used
    used = time.process_time()
    index.search(draw(WARM_UP, OPTIONS.width, seed=3), OPTIONS.top)
    again = time.process_time() - used
    print(f"{WARM_UP} queries: {first:.2f} CPU s the first time, {again:.2f} CPU s after that")


def compare(searches: dict[str, Search], vectors: np.ndarray, queries: np.ndarray) -> None:
    from wordsight.transfer import nearest

    truth = nearest(queries, vectors, OPTIONS.top).places
    cpu: dict[str, list[float]] = {name: [] for name in searches}
    wall: dict[str, list[float]] = {name: [] for name in searches}
    found: dict[str, np.ndarray] = {}
    for _ in range(OPTIONS.rounds):
        for name, search in searches.items():
            begun, used = time.perf_counter(), time.process_time()
            found[name] = search(queries)
            cpu[name].append(time.process_time() - used)
            wall[name].append(time.perf_counter() - begun)
    own = statistics.median(cpu["ws.Index"])
    print(f"\n{len(queries)} queries      queries/CPU s  queries/s   ours is   recall   same order")
    for name in searches:
        seconds = statistics.median(cpu[name])
        recall = np.mean(
            [len({*a} & {*b}) / len(b) for a, b in zip(found[name], truth, strict=True)]
        )
        print(
            f"{name:16} {len(queries) / seconds:11.1f} "
            f"{len(queries) / statistics.median(wall[name]):10.1f} {seconds / own:8.2f}x "
            f"{recall:8.4f}   {(found[name] == truth).all(axis=1).mean():.0%}"
        )


if __name__ == "__main__":
    with watched():
        main()
