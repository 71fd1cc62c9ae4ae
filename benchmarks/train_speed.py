"""Samples per second of `wordsight train` and of open_clip's trainer, loader included.

python benchmarks/train_speed.py "../shared/data/tiny_imagenet/train-*.tar"

Both learn the same architecture from the same JPEG files, listed in one table, in the same batches
on this processor. (The trainer of open_clip 3.3 cannot read tars with webdataset 1.0. For tables it
needs pandas: pip install pandas.) It is
a ViT of 192 x 6 at 64 px in patches of 8, a text transformer of 128 x 4 with 77 tokens and OpenAI's
vocabulary, batch 256, float32, no augmentation but a random square. Each is a process of its own;
the first steps are left out of both. The turns alternate, medians are printed.
"""

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from quiet import watched

BATCH = 256
SHAPE = {"image": 64, "patch": 8, "width": 192, "depth": 6}
TEXT = {"context": 77, "vocabulary": 49408, "width": 128, "heads": 2, "depth": 4}
EMBED = 128
RATE = re.compile(r"([\d.]+)/s,")


def model_config() -> dict[str, object]:
    return {
        "embed_dim": EMBED,
        "vision_cfg": {
            "image_size": SHAPE["image"],
            "layers": SHAPE["depth"],
            "width": SHAPE["width"],
            "patch_size": SHAPE["patch"],
        },
        "text_cfg": {
            "context_length": TEXT["context"],
            "vocab_size": TEXT["vocabulary"],
            "width": TEXT["width"],
            "heads": TEXT["heads"],
            "layers": TEXT["depth"],
        },
    }


def theirs(table: Path, folder: Path, model: dict[str, Any], changes: dict[str, Any]) -> str:
    """Run open_clip's trainer in a process of its own, and return what it printed."""
    (folder / "bench-vit.json").write_text(json.dumps(model))
    program = (
        "import sys, open_clip; "
        f"open_clip.add_model_config({str(folder)!r}); "
        "from open_clip_train.main import main; main(sys.argv[1:])"
    )
    options = {
        "model": "bench-vit",
        "train-data": table,
        "dataset-type": "csv",
        "csv-separator": ",",
        "batch-size": BATCH,
        "epochs": 1,
        "workers": 1,
        "precision": "fp32",
        "warmup": 5,
        "logs": folder,
        "name": "theirs",
        "device": "cpu",
        **changes,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"open_clip's trainer did not run:\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def their_rate(table: Path, folder: Path) -> float:
    """Return the median of the rates that open_clip's trainer says in one epoch."""
    said = theirs(table, folder, model_config(), {"log-every-n-steps": 4})
    rates = [float(found) for found in RATE.findall(said)]
    return statistics.median(rates[1:])


def ours(table: Path, samples: int, folder: Path) -> float:
    """Run our trainer over as many samples, and return its rate without the first steps."""
    done = subprocess.run(
        [sys.executable, __file__, str(table), "--samples", str(samples), "--ours", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


def run_ours(table: Path, samples: int, folder: Path) -> None:
    import time

    from wordsight.data.example_sources import open_examples
    from wordsight.training.contrastive.config import TrainConfig
    from wordsight.training.contrastive.train import train

    start = folder / "start"
    if not start.exists():
        write_start(start, model_config(), seed=0)
    examples = open_examples(table, image_column="filepath", text_column="title")
    times: list[float] = []
    config = TrainConfig(
        start=str(start),
        batch_size=BATCH,
        epochs=samples / len(examples),
        held_out=0.0,
        checkpoint_every=10_000,
        seed=samples,
    )
    train(
        examples,
        out=folder / f"ours-{time.time_ns()}",
        config=config,
        device="cpu",
        on_step=lambda said, _: times.append(time.perf_counter()) if "loss" in said else None,
    )
    steps = [BATCH / (after - before) for before, after in pairwise(times[3:])]
    print(statistics.median(steps))


def extract(shards: str, samples: int, folder: Path) -> Path:
    """Write the first pictures of some shards as files with a table, and return the table."""
    from wordsight.data.example_sources import open_examples

    folder.mkdir(parents=True)
    examples = open_examples(shards)
    with (folder / "pairs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filepath", "title"])
        for number in range(samples):
            example = examples[number]
            path = folder / f"{number}.jpg"
            path.write_bytes(example.image)
            table.writerow([path, example.texts[0]])
    return folder / "pairs.csv"


def write_start(folder: Path, config: dict[str, Any], seed: int) -> None:
    """Write open_clip's own untrained model of an architecture, with its own saver."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(
        config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=False
    )
    whole = {
        "model_cfg": config,
        "preprocess_cfg": {
            "mean": open_clip.OPENAI_DATASET_MEAN,
            "std": open_clip.OPENAI_DATASET_STD,
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(whole))
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("--samples", type=int, default=5120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", type=Path)
    options = parser.parse_args()
    if options.ours:
        run_ours(Path(options.shards), options.samples, options.ours)
        return
    rates: dict[str, list[float]] = {"wordsight": [], "open_clip": []}
    with tempfile.TemporaryDirectory() as name:
        table = extract(options.shards, options.samples, Path(name) / "pictures")
        for turn in range(options.rounds):
            folder = Path(name) / str(turn)
            folder.mkdir()
            rates["wordsight"].append(ours(table, options.samples, folder))
            rates["open_clip"].append(their_rate(table, folder))
            print({side: round(found[-1], 1) for side, found in rates.items()}, flush=True)
    medians = {side: statistics.median(found) for side, found in rates.items()}
    for side, rate in medians.items():
        print(f"{side:10} {rate:7.1f} samples/s")
    print(f"ratio x{medians['wordsight'] / medians['open_clip']:.2f}")


if __name__ == "__main__":
    with watched():
        main()
