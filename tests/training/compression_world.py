"""What compressions start from in tests: pictures, parents, a student, sentences."""

import dataclasses
from pathlib import Path
from typing import Any

import small_runs

import worlds
from wordsight.bundle import open_bundle, write_bundle
from wordsight.bundle.store import CONFIG, WEIGHTS
from wordsight.commands.export import export

SMALL = """kind = "vision-transformer"
image_size = 24
patch_size = 8
width = 16
depth = 1
num_heads = 2
mlp_width = 16
activation = "gelu"
"""
SENTENCES = "a red circle\n\na blue cross\na green square\na red circle\n"
QUICK: dict[str, Any] = {"steps": 12, "batch_size": 16, "checkpoint_every": 4, "bank": 8}


def write_pictures(folder: Path, count: int = 60) -> Path:
    for number in range(count):
        colour = list(worlds.COLOURS)[number % 6]
        worlds.draw(worlds.SHAPES[number % 4], colour, number).save(folder / f"{number}.png")
    return folder


def write_parent(folder: Path) -> Path:
    """A vision transformer with weights and graphs: its text graph need not be made each time."""
    bare = small_runs.start_bundle(folder / "bare")
    return export(bare, folder / "start", with_weights=True).path


def write_student(folder: Path) -> str:
    path = folder / "small.toml"
    path.write_text(SMALL)
    return str(path)


def write_sentences(folder: Path) -> Path:
    path = folder / "sentences.txt"
    path.write_text(SENTENCES)
    return path


def graphs_only(tiny: Path, folder: Path) -> Path:
    """A parent without torch weights, as mini is."""
    bundle = open_bundle(tiny / "tiny")
    files = {
        name: (bundle.path / name).read_bytes()
        for name in bundle.files
        if name not in (CONFIG, WEIGHTS)
    }
    write_bundle(folder, dataclasses.replace(bundle.config, architecture={}), files)
    return folder
