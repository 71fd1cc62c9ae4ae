"""From picture files to normalised pixels on one thread, against open_clip's transform.

python benchmarks/prepare_images.py ../shared/data/coco2k_captions/images
python benchmarks/prepare_images.py ../shared/data/coco2k_captions/images --side 500 --quality 90

The contenders take turns; what counts is the CPU time of this process. The same pictures can be
saved anew at another size first, as JPEG.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402
import open_clip  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from quiet import watched  # noqa: E402

from wordsight.images import Preprocessing, Reading, find_images, prepare_batch  # noqa: E402

Contender = Callable[[list[bytes]], NDArray[np.float32]]
THEIRS = "open_clip"
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, help="longest side to save the pictures at")
    parser.add_argument("--quality", type=int, default=90)
    options = parser.parse_args()
    files = [path.read_bytes() for path in find_images(options.pictures)[: options.number]]
    if options.side:
        files = [saved_anew(file, options.side, options.quality) for file in files]
    print(f"{len(files)} files of {sum(map(len, files)) / len(files) / 1000:.1f} kB")
    report(files, options.rounds)


def saved_anew(file: bytes, side: int, quality: int) -> bytes:
    with Image.open(io.BytesIO(file)) as image:
        factor = side / max(image.size)
        size = tuple(max(1, round(length * factor)) for length in image.size)
        new = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(
            new, "JPEG", quality=quality
        )
    return new.getvalue()


def contenders(recipe: Preprocessing) -> dict[str, Contender]:
    transform = open_clip.image_transform(recipe.size, is_train=False)

    def theirs(files: list[bytes]) -> NDArray[np.float32]:
        return np.stack([transform(Image.open(io.BytesIO(file))).numpy() for file in files])

    def ours(reading: Reading) -> Contender:
        return lambda files: prepare_batch(files, recipe, threads=1, reading=reading).pixels

    return {
        THEIRS: theirs,
        "wordsight": ours(Reading()),
        "wordsight, exact": ours(Reading(exact=True)),
        "wordsight, scaled_jpeg": ours(Reading(scaled_jpeg=True)),
    }


def report(files: list[bytes], rounds: int) -> None:
    recipe = Preprocessing()
    all_contenders = contenders(recipe)
    seconds: dict[str, list[float]] = {name: [] for name in all_contenders}
    level = np.array(recipe.std)[None, :, None, None] * 255
    differences: dict[str, tuple[float, float, float]] = {}
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    for name, run in all_contenders.items():
        apart = np.concatenate([np.abs(run(b) - all_contenders[THEIRS](b)) for b in batches])
        apart *= level
        differences[name] = (apart.max(), apart.mean(), (apart > 0).mean())
    for _ in range(rounds):
        for name, run in all_contenders.items():
            begun = time.process_time()
            for batch in batches:
                run(batch)
            seconds[name].append(time.process_time() - begun)
    print(
        "contender               files/s/core  ratio  largest, mean difference  values that differ"
    )
    for name, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[THEIRS], taken, strict=True))
        largest, mean, share = differences[name]
        print(
            f"{name:<25}{len(files) / statistics.median(taken):>11.0f}  x{ratio:<5.2f}"
            f"{largest:>8.2f} {mean:>8.4f} grey levels  {share:>15.1e}"
        )


if __name__ == "__main__":
    with watched():
        main()
