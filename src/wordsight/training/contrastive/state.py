"""What a run needs to go on: written whole or not at all, found again after any crash.

run/checkpoints/
  step-00000200/
    tensors.safetensors   weights, moments, averages
    state.json            step, settings, where the metrics end
    SHA256SUMS            written last
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from wordsight.errors import BundleError, DataError
from wordsight.files import atomic_folder, sha256
from wordsight.packages import require

TENSORS = "tensors.safetensors"
VALUES = "state.json"
SUMS = "SHA256SUMS"
PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that was read back."""

    path: Path
    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step in one step: the whole of it appears, or nothing does.

    Raises:
        OSError: if the disk is full or refuses; earlier checkpoints are untouched.
    """
    safetensors = require("safetensors.torch", extra="torch")
    path = folder / f"{PREFIX}{step:08}"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path) as part:
        safetensors.save_file(
            {name: value.detach().contiguous() for name, value in tensors.items()},
            str(part / TENSORS),
        )
        (part / VALUES).write_text(json.dumps({"step": step, **values}, indent=2) + "\n")
        lines = [f"{sha256(part / name)}  {name}\n" for name in (TENSORS, VALUES)]
        (part / SUMS).write_text("".join(lines))
    return path


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep`."""
    for path in _by_age(folder)[:-keep]:
        shutil.rmtree(path)


def newest(folder: Path) -> tuple[Saved | None, list[str]]:
    """Return the newest whole checkpoint, and what is wrong with each newer one.

    Raises:
        DataError: if there are checkpoints and every one of them is damaged.
    """
    if not folder.is_dir():
        return None, []
    damaged: list[str] = []
    for path in reversed(_by_age(folder)):
        try:
            return _read(path), damaged
        except BundleError as error:
            damaged.append(str(error))
    if damaged:
        raise DataError(
            f"{folder}: all {len(damaged)} checkpoints are damaged: {damaged[0]}",
            hint="remove the folder to begin again, or copy a checkpoint back from a backup",
        )
    return None, []


def _by_age(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(PREFIX)))


def _read(path: Path) -> Saved:
    safetensors = require("safetensors.torch", extra="torch")
    try:
        lines = (path / SUMS).read_text().splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for name in (TENSORS, VALUES):
            if sums.get(name) != sha256(path / name):
                raise BundleError(f"{path / name}: damaged: its checksum is not the one in {SUMS}")
        values = json.loads((path / VALUES).read_text())
        tensors = safetensors.load_file(str(path / TENSORS))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    if values["step"] != int(path.name.removeprefix(PREFIX)):
        raise BundleError(f"{path}: is the checkpoint of step {values['step']}, renamed")
    return Saved(path, int(values["step"]), tensors, values)
