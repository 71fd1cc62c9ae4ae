"""A small labelled world for adaptations: coloured shapes, in parts, and sets to be forgotten."""

import csv
from pathlib import Path
from typing import Any

import worlds
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.training.adaptation.config import AdaptConfig
from wordsight.training.adaptation.order import Order

COLOURS = ("red", "green", "blue")


def write_labelled(
    folder: Path, *, by: str = "colour", per_class: int = 16, first_seed: int = 0
) -> Path:
    """Write pictures of three colours, or of three shapes, half of them to learn from."""
    folder.mkdir(parents=True)
    rows: list[tuple[str, str, str]] = []
    names = COLOURS if by == "colour" else worlds.SHAPES[:3]
    for number in range(per_class * 3):
        name, turn = names[number % 3], number // 3
        other = (worlds.SHAPES if by == "colour" else list(worlds.COLOURS))[turn % 4]
        shape, colour = (other, name) if by == "colour" else (name, other)
        worlds.draw(shape, colour, first_seed + number).save(folder / f"{number}.png")
        part = ("train", "train", "validation", "test")[turn % 4]
        rows.append((f"{number}.png", name, part))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "split"), *rows])
    return folder


def colours(folder: Path) -> LabelledPictures:
    return read_labelled(write_labelled(folder / "colours"))


def shapes(folder: Path) -> LabelledPictures:
    return read_labelled(write_labelled(folder / "shapes", by="shape", first_seed=500))


def settings(method: str, **changes: Any) -> AdaptConfig:
    """Eight steps of six pictures."""
    given: dict[str, Any] = {
        "method": method,
        "epochs": 2.0,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "rank": 2,
        "checkpoint_every": 3,
        "seed": 3,
    }
    return AdaptConfig(**{**given, **changes})


def order(start: Path, out: Path, config: AdaptConfig, **changes: Any) -> Order:
    return Order(model=start, out=out, config=config, **{"kept": {}, **changes})
