"""How fast `align` is: cold (decoding and features), and warm (features cached).

python benchmarks/align_speed.py ../shared/data/coco2k_captions
"""

import argparse
import tempfile
import time
from pathlib import Path

from quiet import watched

import wordsight as ws
from wordsight.data import read_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--image-tower", default="efficientnet-lite0")
    parser.add_argument("--text-tower", default="minilm")
    options = parser.parse_args()
    pairs = read_pairs(options.pairs).subset(range(1500))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            begun = time.perf_counter()
            aligned = ws.align(
                pairs,
                out=Path(folder) / "model",
                cache=Path(folder) / "cache",
                image_tower=options.image_tower,
                text_tower=options.text_tower,
                epochs=30,
                patience=30,
            )
            speed = aligned.results["speed"]
            print(
                f"{name}: {time.perf_counter() - begun:.1f} s in all, "
                f"{speed['pictures_per_second']:.0f} pictures/s from file to features, "
                f"{speed['train_seconds']:.1f} s for 30 epochs, {len(pairs)} pairs"
            )


if __name__ == "__main__":
    with watched():
        main()
