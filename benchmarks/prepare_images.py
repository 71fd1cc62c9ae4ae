"""Decoding and preprocessing one picture at a time, against open_clip's transform.

python benchmarks/prepare_images.py ../shared/data/coco2k_captions/images
"""

import argparse
import statistics
import time

import numpy as np
import open_clip
from PIL import Image

from wordsight.images import Preprocessing, find_images, open_image, prepare

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures")
    options = parser.parse_args()
    paths = find_images([options.pictures])[:300]
    recipe = Preprocessing()
    transform = open_clip.image_transform(recipe.size, is_train=False)
    ratios = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ours = [prepare(open_image(path), recipe) for path in paths]
        middle = time.perf_counter()
        theirs = [transform(Image.open(path).convert("RGB")).numpy() for path in paths]
        end = time.perf_counter()
        ratios.append((end - middle) / (middle - begun))
        same = all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        print(
            f"wordsight {len(paths) / (middle - begun):.0f}/s, "
            f"open_clip {len(paths) / (end - middle):.0f}/s, identical: {same}"
        )
    print(f"ratio (median): x{statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
