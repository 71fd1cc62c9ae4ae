"""Accuracy of `wordsight train` and of open_clip's trainer: at equal samples, and at equal time.

python benchmarks/train_accuracy.py ../shared/data/tiny_imagenet --work runs/race

Both learn from nothing: 100 classes of tiny ImageNet (6,000 pictures, their class names), the same
architecture (a ViT of 128 x 4 at 64 px in patches of 8, a text transformer of 64 x 2 with 32 tokens
of OpenAI's vocabulary), 128 pairs a batch, 6 epochs, AdamW 1e-3, float32, on one thread each. Then
`wordsight train` learns with settings of its own choosing (`OWN`) for as much processor time as
open_clip's run took. All are judged alike, by the zero-shot accuracy on the 1,000 test pictures of
these classes with the bare class name; seeds are run one after another, and what is finished stands
in the work folder and is not run again. (Tables need pandas there: pip install pandas.)
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from quiet import watched
from train_speed import theirs, write_start

CLASSES = 100
BATCH = 128
EPOCHS = 6
RATE = 1e-3
WARMUP_STEPS = 28
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "patch_size": 8},
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 49408,
        "width": 64,
        "heads": 1,
        "layers": 2,
    },
}
SAME: dict[str, Any] = {
    "batch_size": BATCH,
    "learning_rate": RATE,
    "weight_decay": 0.2,
    "shared_captions": False,
    "crop": "paper",
    "held_out": 0.0,
    "checkpoint_every": 10_000,
}
OWN: dict[str, Any] = {
    "architecture": "tiny-rn-64",
    "batch_size": BATCH,
    "learning_rate": RATE,
    "weight_decay": 0.2,
    "crop": "strong",
    "precision": "bfloat16",
    "clip_gradient": 1.0,
    "average": 0.99,
    "held_out": 0.0,
    "checkpoint_every": 10_000,
}


def write_tables(data: Path, folder: Path) -> None:
    """Write the pictures of the first classes, by name, as files with a table for each part."""
    from wordsight.data.example_sources import open_examples

    chosen: set[str] = set()
    for part in ("train", "test"):
        examples = open_examples(str(data / f"{part}-*.tar"))
        if part == "train":
            names = {examples[number].texts[0] for number in range(len(examples))}
            chosen = set(sorted(names)[:CLASSES])
        pictures = folder / part
        pictures.mkdir(parents=True)
        with (folder / f"{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["filepath", "title"])
            for number in range(len(examples)):
                example = examples[number]
                if example.texts[0] in chosen:
                    path = pictures / f"{number}.jpg"
                    path.write_bytes(example.image)
                    table.writerow([path.resolve(), example.texts[0]])


def learn(folder: Path, out: Path, settings: dict[str, Any]) -> None:
    """Run our trainer in this process."""
    from wordsight.data.example_sources import open_examples
    from wordsight.training.contrastive.config import TrainConfig
    from wordsight.training.contrastive.train import train

    examples = open_examples(folder / "train.csv", image_column="filepath", text_column="title")
    train(examples, out=out, config=TrainConfig(**settings), device="cpu")


def accuracy_of(model: Path, folder: Path) -> str:
    """Return the zero-shot accuracy on the test part."""
    import wordsight as ws
    from wordsight import metrics

    with (folder / "test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["title"] for row in rows})
    classifier = ws.ZeroShotClassifier(ws.load(model), names, templates=["{}"])
    guesses = classifier.predict([row["filepath"] for row in rows])
    found = metrics.accuracy([str(guess) for guess in guesses], [row["title"] for row in rows])
    return json.dumps({"right": round(found.value * found.n), "n": found.n})


def child(*arguments: object) -> tuple[str, float]:
    """Run this script in a process of its own; return what it said and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout.strip(), spent


def one_seed(folder: Path, seed: int) -> dict[str, Any]:
    """Run all three with a seed, and return what came of them."""
    run = folder / f"seed-{seed}"
    start = run / "start"
    if not start.exists():
        write_start(start, MODEL, seed)
    found: dict[str, Any] = {}

    def record(name: str, model: Path, seconds: float) -> None:
        said, _ = child("--judge", model, "--work", folder, folder)
        found[name] = {**json.loads(said), "seconds": round(seconds)}
        print(seed, name, found[name], flush=True)

    settings = SAME | {"start": str(start), "epochs": EPOCHS, "seed": seed}
    settings["warmup"] = WARMUP_STEPS / (EPOCHS * (CLASSES * 60 // BATCH))
    _, seconds = child(
        "--learn", run / "same", "--settings", json.dumps(settings), "--work", folder, folder
    )
    record("wordsight, same settings", run / "same" / "model", seconds)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    theirs(
        folder / "train.csv",
        run,
        MODEL,
        {
            "batch-size": BATCH,
            "epochs": EPOCHS,
            "lr": RATE,
            "wd": 0.2,
            "warmup": WARMUP_STEPS,
            "seed": seed,
            "pretrained": start / "open_clip_model.safetensors",
            "save-frequency": EPOCHS,
        },
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    budget = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    record("open_clip", run / "theirs" / "checkpoints" / f"epoch_{EPOCHS}.pt", budget)
    own = OWN | {"seed": seed, "epochs": epochs_for(folder, run, budget)}
    _, seconds = child(
        "--learn", run / "own", "--settings", json.dumps(own), "--work", folder, folder
    )
    record("wordsight, own settings", run / "own" / "model", seconds)
    return found


def epochs_for(folder: Path, run: Path, budget: float) -> float:
    """Return how many epochs of our own settings fit into a time, by trying one and three."""
    spent: list[float] = []
    for epochs in (1, 3):
        settings = json.dumps(OWN | {"epochs": epochs})
        trial = run / f"trial-{epochs}"
        _, seconds = child("--learn", trial, "--settings", settings, "--work", folder, folder)
        spent.append(seconds)
    each = (spent[1] - spent[0]) / 2
    return round((budget - spent[0]) / each + 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learn", type=Path)
    parser.add_argument("--settings", type=json.loads)
    parser.add_argument("--judge", type=Path)
    options = parser.parse_args()
    if options.learn:
        learn(options.work, options.learn, options.settings)
        return
    if options.judge:
        print(accuracy_of(options.judge, options.work))
        return
    from wordsight.metrics import wilson

    if not (options.work / "test.csv").exists():
        write_tables(options.data, options.work)
    results: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        path = options.work / f"seed-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(one_seed(options.work, seed), indent=1))
        results.append(json.loads(path.read_text()))
    for name in results[0]:
        right = sum(result[name]["right"] for result in results)
        n = sum(result[name]["n"] for result in results)
        seconds = [result[name]["seconds"] for result in results]
        per_seed = ", ".join(
            f"{result[name]['right'] / result[name]['n']:.1%}" for result in results
        )
        print(f"{name:26} {wilson(right, n)}  seeds {per_seed}  processor seconds {seconds}")


if __name__ == "__main__":
    with watched():
        main()
