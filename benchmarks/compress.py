"""What is lost, and what is gained, when a large model is made small on pictures without labels.

python benchmarks/compress.py ../shared/data --work /tmp/compress
python benchmarks/compress.py ../shared/data --work /tmp/compress --prune MODEL

1. `mini` teaches tiny-rn-64 on the train pictures of tiny_imagenet and the photographs of COCO; no
   label or caption is looked at.
2. With `--prune MODEL` (a vision transformer with torch weights) half of its heads and neurons are
   removed, with and without being taught by MODEL afterwards.

Each model is then measured by words alone (zero-shot) on the first pictures of the test parts of
cifar10 and tiny_imagenet, with 95 % intervals, and timed: CPU seconds of one thread for prepared
pictures, the models taking turns, medians. What is finished in the work folder is taken from there.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import quiet

ROUNDS, BATCH = 7, 16


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--prune", type=Path)
    parser.add_argument("--prune-steps", type=int, default=500)
    parser.add_argument("--pictures", type=int, default=1000, help="of each test set")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    quiet.add_option(parser)
    return parser.parse_args()


OPTIONS = parse()
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WORDSIGHT_CACHE", str(OPTIONS.work / "cache"))

import numpy as np  # noqa: E402

import wordsight as ws  # noqa: E402
from wordsight.bundle import open_bundle  # noqa: E402
from wordsight.data.labelled import read_labelled  # noqa: E402
from wordsight.training.adaptation.exam import measure  # noqa: E402
from wordsight.training.adaptation.order import spread  # noqa: E402


def made(name: str, parent: str | Path, **settings: object) -> Path:
    """Compress, unless it has been done."""
    out = OPTIONS.work / name
    if not out.is_dir():
        shards = sorted((OPTIONS.data / "tiny_imagenet").glob("train-*.tar"))
        sources = [*shards, OPTIONS.data / "coco2k_captions" / "images"]
        begun = time.process_time()
        done = ws.compress(
            parent, sources, out=out, precision="bfloat16", held_out=0.05, **settings
        )
        outcome = done.outcome
        print(
            f"{name}: {outcome.learnt_from:,} pictures, {outcome.steps:,} steps, "
            f"{time.process_time() - begun:.0f} CPU s; same sentence fits best "
            f"{outcome.learnt.agreement}, mean cosine {outcome.learnt.mean_cosine.value:.3f}",
            flush=True,
        )
    open_bundle(out)
    return out


def accuracies(path: str | Path) -> list[str]:
    model = ws.load(path)
    sets = (read_labelled(OPTIONS.data / name) for name in ("cifar10", "tiny_imagenet"))
    tests = (spread(pictures.part("test"), OPTIONS.pictures) for pictures in sets)
    return [str(measure(model, test, language="en")) for test in tests]


def cpu_milliseconds(paths: dict[str, str | Path], watch: quiet.Watch) -> dict[str, float]:
    """Return the median CPU time of one picture, in batches of 16."""
    models = {name: ws.load(path, threads=1) for name, path in paths.items()}
    found: dict[str, list[float]] = {name: [] for name in models}
    for number in range(ROUNDS + 1):
        watch.glance()
        for name, model in models.items():
            side = model.source.config.preprocessing.size
            pixels = np.random.default_rng(0).normal(size=(BATCH, 3, side, side))
            begun = time.process_time()
            model.engine.image.run(pixels.astype(np.float32))
            if number:
                found[name].append(1e3 * (time.process_time() - begun) / BATCH)
    return {name: statistics.median(times) for name, times in found.items()}


def report(paths: dict[str, str | Path], watch: quiet.Watch) -> None:
    """Print one row a model; the first is the parent."""
    rows = {name: accuracies(path) for name, path in paths.items()}
    times = cpu_milliseconds(paths, watch)
    parent = next(iter(paths))
    for name, (cifar10, tiny_imagenet) in rows.items():
        print(
            f"| {name} | {cifar10} | {tiny_imagenet} | {times[name]:.2f} ms | "
            f"x {times[parent] / times[name]:.1f} |",
            flush=True,
        )


def main() -> None:
    OPTIONS.work.mkdir(parents=True, exist_ok=True)
    rate = OPTIONS.learning_rate
    with quiet.watched(OPTIONS.wait) as watch:
        print("| model | cifar10 | tiny_imagenet | CPU time a picture | speed |")
        small = made(
            "tiny-rn-64", "mini", student="tiny-rn-64", steps=OPTIONS.steps, learning_rate=rate
        )
        report({"mini": "mini", "tiny-rn-64, taught by mini": small}, watch)
        if OPTIONS.prune is not None:
            parent = OPTIONS.prune
            bare = made("half-bare", parent, keep=0.5, epochs=0.0)
            taught = made("half-taught", parent, keep=0.5, steps=OPTIONS.prune_steps)
            names = ("whole", "half of heads and neurons", "half, and taught")
            report(dict(zip(names, (parent, bare, taught), strict=True)), watch)


if __name__ == "__main__":
    main()
