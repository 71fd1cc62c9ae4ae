"""Measure a bundle on the shared test parts: zero-shot accuracy and retrieval with intervals.

    python recipes/mini/evaluate.py --shared ../shared mini

`--part validation` measures on what choices may be made by: the training part of cifar10, and half
of caltech101. No picture of either is ever learnt from.
"""

import argparse
import csv
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import wordsight as ws
from wordsight.data import find_positives, read_pairs
from wordsight.metrics import accuracy, recall_at_k
from wordsight.transfer import class_vectors

Labelled = list[tuple[bytes | Path, str]]


def shard(path: Path) -> Iterator[tuple[bytes, str]]:
    """Yield picture and class name of every sample of a tar shard."""
    with tarfile.open(path) as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    for name in sorted(n for n in content if n.endswith(".jpg")):
        yield content[name], content[name.replace(".jpg", ".txt")].decode().strip()


def table(folder: Path, *, half: int | None = None, split: str | None = None) -> Labelled:
    """Return pictures and class names of a labels.csv; half of them by a hash of the name."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if split in (None, row.get("split"))]
    found: Labelled = []
    for row in rows:
        side = hashlib.sha256(row["path"].encode()).digest()[0] % 2
        if half is None or side == half:
            found.append((folder / row["path"], row["class"].replace("_", " ")))
    return found


def zero_shot_sets(data: Path, part: str) -> dict[str, Labelled]:
    """Return the labelled pictures of every set."""
    if part == "validation":
        return {
            "cifar10 (train part)": list(shard(data / "cifar10/train-000000.tar")),
            "caltech101 (half A)": table(data / "caltech101", half=0),
        }
    return {
        "cifar10": list(shard(data / "cifar10/test-000000.tar")),
        "caltech101": table(data / "caltech101"),
        "caltech101 (half B)": table(data / "caltech101", half=1),
        "tiny_imagenet (names seen)": list(shard(data / "tiny_imagenet/test-000000.tar")),
        "ucm (captions seen)": table(data / "ucm_captions", split="test"),
        "neu_det_steel": table(data / "neu_det_steel", split="test"),
    }


def measure(model: ws.Model, data: Path, part: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the result of every measure."""
    for name, labelled in zero_shot_sets(data, part).items():
        classes = sorted({label for _, label in labelled})
        vectors = class_vectors(model, classes)
        images = model.encode_image([picture for picture, _ in labelled])
        predicted = np.array(classes)[vectors.cosines(images).argmax(axis=1)]
        yield f"{name}, accuracy", str(accuracy(predicted, np.array([n for _, n in labelled])))
    for name in ("coco2k_captions", "flowers102_captions") if part == "test" else ():
        pairs = read_pairs(data / name / "pairs.csv", where={"split": "test"})
        relation = find_positives(pairs)
        block = relation.block(range(len(pairs.images)), range(len(relation.texts)))
        similarity = model.encode_image(list(pairs.images)) @ model.encode_text(relation.texts).T
        ways = (("image to text", similarity, block), ("text to image", similarity.T, block.T))
        for way, scores, truth in ways:
            for k in (1, 5, 10):
                positives = [np.flatnonzero(row) for row in truth]
                yield f"{name}, {way} R@{k}", str(recall_at_k(scores, positives, k))


def main() -> None:
    """Print one row per measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mini")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[3] / "shared")
    parser.add_argument("--part", choices=["test", "validation"], default="test")
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    model = ws.load(options.model, engine=options.engine)
    for name, result in measure(model, options.shared / "data", options.part):
        print(f"{name:45} {result}", flush=True)


if __name__ == "__main__":
    main()
