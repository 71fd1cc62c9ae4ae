"""Photographs of solar cells that PyPI carries (elpv-dataset), with what experts said of them.

2,624 cells of 44 modules, seen by their own infrared glow (electroluminescence). Each has the
probability that it is defective (0, 1/3, 2/3 or 1) and its type, mono- or polycrystalline (Buerhop
et al., 2018; Deitsch et al., 2019, 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wordsight.errors import DataError
from wordsight.packages import require

NUM_BANDS = 12
"""The numbering is cut into so many stretches, taken in turn for learning and for measuring."""
GAP = 36
"""Cells left out on both sides of a cut: half of the largest module."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One photograph, and what the experts agreed on."""

    path: Path
    is_defective: bool
    is_mono: bool


@dataclass(frozen=True, slots=True)
class Cells:
    """Photographs to learn from, and others to measure on, from other parts of the series."""

    learn: tuple[Cell, ...]
    held_out: tuple[Cell, ...]


def read_cells(*, learn: int, held_out: int) -> Cells:
    """Choose cells: as many sound as defective ones, as many mono- as polycrystalline.

    Photographs are numbered module by module, and cells of one module look alike. So those to
    measure on come from other stretches of the numbering than those to learn from. Cells of which
    the experts were not sure are left out.

    Args:
        learn: photographs to learn from; fewer if a kind runs out.
        held_out: photographs to measure on; fewer if a kind runs out.

    Raises:
        MissingError: if the package elpv-dataset is not installed.
        DataError: if its table is not what it used to be.
    """
    package = Path(require("elpv_dataset", extra="demo").__file__).parent
    bands = _bands(package / "data")
    return Cells(
        learn=_balanced([cell for band in bands[0::2] for cell in band], learn),
        held_out=_balanced([cell for band in bands[1::2] for cell in band], held_out),
    )


def _bands(folder: Path) -> list[list[Cell]]:
    table = folder / "labels.csv"
    try:
        rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
        numbered = [(Path(name), float(share), kind) for name, share, kind in rows]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{table}: not the table that was expected: {error}",
            hint='pip install --force-reinstall "wordsight[demo]"',
        ) from None
    size = len(numbered) / NUM_BANDS
    bands: list[list[Cell]] = [[] for _ in range(NUM_BANDS)]
    for number, (name, probability, kind) in enumerate(numbered):
        band, place = divmod(number, size)
        is_at_cut = (place < GAP and band > 0) or (size - place <= GAP and band < NUM_BANDS - 1)
        if probability in (0.0, 1.0) and not is_at_cut:
            cell = Cell(folder / name, is_defective=probability == 1.0, is_mono=kind == "mono")
            bands[int(band)].append(cell)
    return bands


def _balanced(cells: Sequence[Cell], number: int) -> tuple[Cell, ...]:
    """Take a quarter of each kind, evenly spread, in an order that mixes them."""
    chosen: list[Cell] = []
    for is_defective in (False, True):
        for is_mono in (True, False):
            kind = [c for c in cells if (c.is_defective, c.is_mono) == (is_defective, is_mono)]
            places = np.linspace(0, len(kind) - 1, min(number // 4, len(kind))).round()
            chosen += [kind[int(place)] for place in places]
    order = np.random.default_rng(0).permutation(len(chosen)).tolist()
    return tuple(chosen[int(place)] for place in order)
