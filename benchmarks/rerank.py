"""A text-only edit: new class sentences against 1,000 pictures that are embedded already.

python benchmarks/rerank.py
"""

import statistics
import time

import numpy as np
from quiet import watched

import wordsight as ws

RUNS = 20


def main() -> None:
    rng = np.random.default_rng(0)
    for engine in ("onnxruntime", "openvino"):
        model = ws.load("mini", engine=engine)
        pictures = rng.standard_normal((1000, model.embed_dim)).astype(np.float32)
        times = []
        for run in range(RUNS + 1):
            classes = {
                "crack": [f"a thin dark crack, seen {run} times", "a broken line"],
                "stain": [f"a brown stain number {run}", "a dirty spot"],
                "sound": ["a smooth surface without any defect"],
            }
            begun = time.perf_counter()
            ws.ZeroShotClassifier(model, classes).predict(pictures)
            times.append(time.perf_counter() - begun)
        print(f"{engine:12} {1000 * statistics.median(times[1:]):.0f} ms (median of {RUNS})")


if __name__ == "__main__":
    with watched():
        main()
