"""Make an inspector's folder: some pictures of one defect, some good ones, and his file.

    python recipes/inspection/collect.py MAGNETIC_TILE OUT [--lang ja] [--defect blowhole]

`MAGNETIC_TILE` is the magnetic-tile set of Huang et al. with the columns path, class and
tile_group in labels.csv. OUT becomes a folder of pictures with labels.csv and inspection.toml, as
somebody who has just found a new defect would put it together; docs/inspection.md tells the story.
"""

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np

from wordsight.files import write_text

WORDS = Path(__file__).parent
NAMES = {"en": ("blowhole", "good"), "ja": ("ブローホール", "良品")}
TABLE = "labels.csv"


def collect(source: Path, out: Path, *, defect: str, numbers: tuple[int, int], lang: str) -> None:
    """Copy pictures drawn at random, and write the table and the description beside them."""
    with (source / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random = np.random.default_rng(0)
    (out / "images").mkdir(parents=True, exist_ok=True)
    lines = ["path,class,tile"]
    for wanted, number, name in zip((defect, "free"), numbers, NAMES[lang], strict=True):
        own = [row for row in rows if row["class"] == wanted]
        for place in sorted(random.permutation(len(own))[:number]):
            picture = source / own[place]["path"]
            shutil.copyfile(picture, out / "images" / picture.name)
            lines.append(f"images/{picture.name},{name},{own[place]['tile_group']}")
    write_text(out / TABLE, "\n".join(lines) + "\n")
    description = (WORDS / f"inspection.{lang}.toml").read_text(encoding="utf-8")
    write_text(out / "inspection.toml", description)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lang", choices=sorted(NAMES), default="en")
    parser.add_argument("--defect", default="blowhole")
    parser.add_argument("--defects", type=int, default=40)
    parser.add_argument("--good", type=int, default=150)
    args = parser.parse_args()
    numbers = (args.defects, args.good)
    collect(args.source, args.out, defect=args.defect, numbers=numbers, lang=args.lang)


if __name__ == "__main__":
    main()
