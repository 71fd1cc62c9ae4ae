"""The model that another library is measured with: the same weights, if it can have them.

A model of the CLIP family is written in the other library's format by `wordsight.checkpoints`, so
both compute the same. Of any other model no library has a counterpart: they are then measured with
ViT-B/32 and random weights, which is said beside every figure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wordsight.engine.source import Source
from wordsight.errors import CheckpointError, InputError
from wordsight.packages import require
from wordsight.speed.contender import Entry, Library
from wordsight.speed.rivals import require_rival, without_bars

STANDARD = "ViT-B-32"
OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
FORMATS: Mapping[Library, Literal["open_clip", "hf"]] = {
    "open_clip": "open_clip",
    "transformers": "hf",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RivalModel:
    """What a rival is measured with."""

    entry: Entry
    has_same_weights: bool
    reason: str = ""
    """Why it is another model; or what it computes otherwise with the same weights."""


def check_rival(name: str) -> None:
    """Check that a library can be measured.

    Raises:
        InputError: if nothing is known of it.
    """
    if name not in FORMATS:
        raise InputError(
            f"nothing is known of how to measure {name!r}", hint=f"choose {', '.join(FORMATS)}"
        )


def write_rival(
    library: Library, source: Source, folder: Path, *, threads: int | None = None
) -> RivalModel:
    """Write what a rival opens into a folder that is not there yet.

    Raises:
        MissingError: if the library is not installed.
    """
    module = require_rival(library)
    require("safetensors", extra="torch")
    from wordsight.checkpoints.opening import open_checkpoint
    from wordsight.checkpoints.writing import write_checkpoint

    try:
        checkpoint = open_checkpoint(source.path)
        deviations = write_checkpoint(checkpoint, folder, FORMATS[library])
        entry = Entry(library=library, path=str(folder), model=source.config.name, threads=threads)
        return RivalModel(entry=entry, has_same_weights=True, reason="; ".join(deviations))
    except CheckpointError as error:
        folder.mkdir(exist_ok=True)
        write = _write_open_clip if library == "open_clip" else _write_transformers
        write(module, source, folder)
        entry = Entry(library=library, path=str(folder), model=STANDARD, threads=threads)
        return RivalModel(entry=entry, has_same_weights=False, reason=str(error))


def _write_open_clip(open_clip: Any, source: Source, folder: Path) -> None:
    """Write its own ViT-B/32, with its own vocabulary."""
    del source
    torch = require("torch", extra="torch")
    save_file = require("safetensors.torch", extra="torch").save_file
    torch.manual_seed(0)
    config = open_clip.get_model_config(STANDARD)
    model = open_clip.CLIP(**config)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / OPEN_CLIP_WEIGHTS)
    prepared = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    values = {"model_cfg": config, "preprocess_cfg": prepared}
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(values), encoding="utf-8")


def _write_transformers(transformers: Any, source: Source, folder: Path) -> None:
    """Write its own ViT-B/32, which is its default; it cuts sentences as our model does."""
    from wordsight.checkpoints.tokenizers import hugging_face_files

    torch = require("torch", extra="torch")
    torch.manual_seed(0)
    with without_bars(transformers):
        transformers.CLIPModel(transformers.CLIPConfig()).save_pretrained(folder)
    transformers.CLIPImageProcessor().save_pretrained(folder)
    if getattr(source, "has_text", True):
        for name, content in hugging_face_files(source.tokenizer()).items():
            (folder / name).write_bytes(content)
