"""How many planted copies `wordsight overlap` finds, and what else it finds.

    python benchmarks/overlap.py PICTURES --out FOLDER [--detector FILE]

A quarter of the pictures are to be measured on, the others were learnt from. A hundred of that
quarter are replaced by copies of training pictures, each cropped, stretched, turned, scaled,
compressed and tinted at random as a detector learns them. Takes about three minutes on one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from quiet import watched

from wordsight.commands.overlap import LEARN, CopySearch, overlap
from wordsight.images import find_images, open_image
from wordsight.language import Phrases
from wordsight.metrics import wilson
from wordsight.training.duplicate_detector.variations import vary

NUM_PLANTED = 100
SIDE = 200
NEAR, FAR = "train", "evaluation"


def plant(pictures: list[Path], out: Path, seed: int) -> None:
    """Write both sides; a planted copy is called after the picture it was made from."""
    random = np.random.default_rng(seed)
    order = [pictures[place] for place in random.permutation(len(pictures))]
    cut = len(order) - len(order) // 4
    for folder in (NEAR, FAR):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for path in order[:cut]:
        (out / NEAR / path.name).symlink_to(path.resolve())
    for path in order[cut:][NUM_PLANTED:]:
        (out / FAR / path.name).symlink_to(path.resolve())
    for path in order[:NUM_PLANTED]:
        copy = vary(open_image(path), SIDE, random)
        copy.save(out / FAR / f"planted-{path.stem}.png")


def main() -> None:
    """Plant, look for the copies, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--detector", default=LEARN, help="learn, or the file of one learnt before")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    plant(find_images([given.pictures]), given.out, given.seed)
    begun = time.process_time()
    found = overlap(
        str(given.out / NEAR),
        str(given.out / FAR),
        out=given.out / "found",
        search=CopySearch(detector=given.detector),
        phrases=Phrases.load("en"),
    )
    seconds = time.process_time() - begun
    planted = {"hash": 0, "detector": 0}
    others: list[str] = []
    for pair in found.pairs:
        copy, source = found.evaluation.keys[pair.evaluation], found.train.keys[pair.train]
        if copy == f"planted-{Path(source).stem}.png":
            planted[pair.by] += 1
        else:
            others.append(f"{copy} - {source} ({pair.by} {pair.likeness:.3f})")
    print(f"{len(found.train.images)} learnt from, {len(found.evaluation.images)} measured on")
    print(f"originals of changed copies found by the detector: {found.proxy}")
    print(f"threshold {found.threshold:.3f}; {seconds:.0f} s of one core")
    print(f"planted copies found by hash: {wilson(planted['hash'], NUM_PLANTED)}")
    print(f"by either: {wilson(sum(planted.values()), NUM_PLANTED)}")
    print(f"others found: {len(others)}", *others, sep="\n  ")


if __name__ == "__main__":
    with watched():
        main()
