"""What an inspector writes about solar cells, made from the labels and nothing else.

The sentences differ as people's do, and name no kind of defect that the labels do not state.
"""

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wordsight.demo.cells import Cell
from wordsight.files import write_text

OPENINGS = ("", "electroluminescence picture of a ")
SOUND = ("sound", "functional", "good")
DEFECTIVE = ("defective", "faulty", "damaged")
SOUND_TAILS = (", evenly bright", ", passes inspection")
KINDS = ("monocrystalline solar cell", "polycrystalline solar cell")
DEFECTIVE_TAILS = (" with dark areas or cracks", ", fails inspection")


def _every(states: Sequence[str], tails: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{opening}{state} {kind}{tail}"
        for opening in OPENINGS
        for state in states
        for kind in KINDS
        for tail in tails
    )


CLASSES = {
    "defective": _every(DEFECTIVE, DEFECTIVE_TAILS),
    "sound": _every(SOUND, SOUND_TAILS),
}
"""What the model is asked: everything an inspector may write of each answer."""


def describe(cells: Sequence[Cell], *, seed: int = 0) -> list[str]:
    """Return one sentence per cell."""
    draw = np.random.default_rng(seed)

    def pick(phrases: Sequence[str]) -> str:
        return phrases[int(draw.integers(len(phrases)))]

    return [
        pick(OPENINGS)
        + pick(DEFECTIVE if cell.is_defective else SOUND)
        + " "
        + KINDS[0 if cell.is_mono else 1]
        + pick(DEFECTIVE_TAILS if cell.is_defective else SOUND_TAILS)
        for cell in cells
    ]


def write_pairs(folder: Path, cells: Sequence[Cell], texts: Sequence[str]) -> None:
    """Write a folder that `wordsight align` reads: pictures, and pairs.csv beside them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image", "text"])
    for cell, text in zip(cells, texts, strict=True):
        name = f"images/{cell.path.name}"
        shutil.copyfile(cell.path, folder / name)
        writer.writerow([name, text])
    write_text(folder / "pairs.csv", table.getvalue())
