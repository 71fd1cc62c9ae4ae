"""Pictures and sentences per second on each engine, from files to vectors.

python benchmarks/engines.py ../shared/data/coco2k_captions/images
"""

import argparse
import time

from quiet import watched

import wordsight as ws
from wordsight.images import find_images

SENTENCES = [f"a photo of {n} brown dogs beside a red car number {n}" for n in range(512)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures")
    parser.add_argument("--model", default="mini")
    options = parser.parse_args()
    paths = find_images([options.pictures])[:512]
    rates = {}
    for engine in ("onnxruntime", "openvino"):
        model = ws.load(options.model, engine=engine)
        model.encode_image(paths[:32])
        model.encode_text(SENTENCES[:64])
        best = [0.0, 0.0]
        for _ in range(3):
            begun = time.perf_counter()
            model.encode_image(paths)
            best[0] = max(best[0], len(paths) / (time.perf_counter() - begun))
            begun = time.perf_counter()
            model.encode_text(SENTENCES)
            best[1] = max(best[1], len(SENTENCES) / (time.perf_counter() - begun))
        rates[engine] = best
        print(f"{engine:12} {best[0]:6.0f} pictures/s {best[1]:6.0f} sentences/s")
    first, second = rates.values()
    print(f"openvino / onnxruntime: pictures x{second[0] / first[0]:.2f}, "
          f"sentences x{second[1] / first[1]:.2f}")  # fmt: skip


if __name__ == "__main__":
    with watched():
        main()
