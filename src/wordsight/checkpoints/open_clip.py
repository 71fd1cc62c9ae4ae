"""open_clip's checkpoints: folders with a config, and files of weights without one.

my-model/
  open_clip_config.json         model_cfg and preprocess_cfg
  open_clip_model.safetensors   weights; open_clip looks for other names too, `WEIGHT_FILES`
  tokenizer.json ...            vocabulary; open_clip needs it where it is not OpenAI's
  README.md                     card, with the licence
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from wordsight.bundle.schema import read_json
from wordsight.checkpoints.assembly import Detected, assemble
from wordsight.checkpoints.card import NAME as CARD
from wordsight.checkpoints.card import read_licence, write_card
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.links import Link, write_weights
from wordsight.checkpoints.open_clip_architecture import architecture
from wordsight.checkpoints.open_clip_config import losses, model_cfg
from wordsight.checkpoints.open_clip_settings import read_model_cfg
from wordsight.checkpoints.open_clip_siglip import siglip_links
from wordsight.checkpoints.openai import as_openai
from wordsight.checkpoints.openai_names import image_links, similarity_links, text_links
from wordsight.checkpoints.openai_shapes import Shapes
from wordsight.checkpoints.openai_vocabulary import is_openai_vocabulary
from wordsight.checkpoints.preprocessing import from_preprocess_cfg, to_preprocess_cfg
from wordsight.checkpoints.safetensors_file import write_safetensors
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.checkpoints.tokenizers import hugging_face_files
from wordsight.errors import BundleError, CheckpointError
from wordsight.model.architecture import ClipConfig, VisionTransformerConfig
from wordsight.text import Tokenizer

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
WEIGHT_FILES = (
    WEIGHTS,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""Where open_clip looks for the weights of a folder, in its order; then it takes any file."""
ENDINGS = (".safetensors", ".bin", ".pth", ".pt")
CLEANING = {"openai": "lower", "siglip": "canonicalize"}
"""What open_clip calls our rules of cleaning a sentence."""


def is_open_clip(folder: Path) -> bool:
    """Say whether a folder holds open_clip's config."""
    return (folder / CONFIG).is_file()


def read_open_clip(
    folder: Path, overrides: Overrides, *, weights: Path | None = None
) -> Checkpoint:
    """Read a folder as `open_clip.create_model("local-dir:...")` would.

    Args:
        folder: with open_clip_config.json.
        overrides: what the user knows better.
        weights: file to take; by default the one that open_clip would take.

    Raises:
        CheckpointError: naming the file, and the key or layer, where a setting is not supported or
            the weights are not those that the config describes.
    """
    path = folder / CONFIG
    file = open_weights(weights or _weight_file(folder))
    values = _read_config(path)
    settings = read_model_cfg(_table(values, "model_cfg", path), where=f"{path}: model_cfg")
    shapes = Shapes(file.path, file.tensors)
    config = architecture(settings, shapes, where=f"{path}: model_cfg")
    try:
        pictures = _table(values, "preprocess_cfg", path) if "preprocess_cfg" in values else {}
        preprocessing = from_preprocess_cfg(pictures, config.image.image_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}", hint=error.hint) from None
    notes = [
        f"an open_clip folder, weights in {file.path.name}",
        f"{_activations(config)}, as {CONFIG} says",
    ]
    if not pictures:
        notes.append(f"{CONFIG} has no preprocess_cfg: pictures are prepared as OpenAI's")
    links = open_clip_links(config, prefix=text_prefix(file.tensors))
    found = Detected(
        path=folder if weights is None else weights,
        home=folder,
        name=folder.resolve().name,
        format="open_clip",
        architecture=config,
        preprocessing=preprocessing,
        foreign_tokenizer=settings.text_cfg.foreign_tokenizer,
        notes=tuple(notes),
    )
    return replace(assemble(found, file, links, overrides), licence=read_licence(folder))


def write_open_clip(checkpoint: Checkpoint, folder: Path) -> tuple[str, ...]:
    """Fill an empty folder with what `open_clip.create_model("local-dir:...")` opens, offline.

    Returns:
        What open_clip will compute otherwise than the model did.

    Raises:
        CheckpointError: if open_clip has no words for the model.
    """
    config = as_openai(checkpoint.architecture)
    try:
        cfg, notes = model_cfg(config), losses(config)
    except ValueError as error:
        raise CheckpointError(
            f"{checkpoint.path}: cannot be written for open_clip: {error}",
            hint="write it as bundle or hf",
        ) from None
    tokenizer = checkpoint.tokenizer
    if tokenizer is not None:
        for name, content in hugging_face_files(tokenizer).items():
            (folder / name).write_bytes(content)
        cfg["text_cfg"] |= _tokenizer_cfg(checkpoint.name, tokenizer)
    values = {"model_cfg": cfg, "preprocess_cfg": to_preprocess_cfg(checkpoint.preprocessing)}
    (folder / CARD).write_bytes(write_card(checkpoint))
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n")
    theirs = write_weights(checkpoint.weights, open_clip_links(config, prefix=""))
    write_safetensors(folder / WEIGHTS, theirs)
    return notes


def open_clip_links(config: ClipConfig, *, prefix: str) -> list[Link]:
    """Return every link; `prefix` is that of the text tower beside a picture tower not of timm."""
    if config.is_siglip:
        return siglip_links(config)
    return [*image_links(config), *text_links(config, prefix=prefix), *similarity_links(config)]


def text_prefix(tensors: Mapping[str, LazyTensor]) -> str:
    """Return what stands before the names of the text tower."""
    return "text." if "text.positional_embedding" in tensors else ""


def _activations(config: ClipConfig) -> str:
    image, text = config.image, config.text
    if not isinstance(image, VisionTransformerConfig) or image.activation == text.activation:
        return f"activation {text.activation}"
    return f"activation {image.activation} for pictures and {text.activation} for texts"


def _tokenizer_cfg(name: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the part of text_cfg that sends open_clip to the vocabulary in the folder.

    Without it open_clip takes OpenAI's vocabulary, which it brings along.
    """
    if is_openai_vocabulary(tokenizer):
        return {}
    cleaning = CLEANING.get(tokenizer.rules.cleaning)
    return {
        "hf_tokenizer_name": name,
        **({"tokenizer_kwargs": {"clean": cleaning}} if cleaning else {}),
    }


def _weight_file(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    others = sorted(p for p in folder.iterdir() if p.suffix in ENDINGS and p.is_file())
    if len(others) == 1:
        return others[0]
    names = ", ".join(path.name for path in others) or "none"
    raise CheckpointError(
        f"{folder}: cannot tell which file holds the weights (found: {names}); expected {WEIGHTS}",
        hint="give the file itself",
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except BundleError as error:
        raise CheckpointError(str(error), hint=error.hint) from None


def _table(values: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = values.get(name)
    if not isinstance(table, dict):
        raise CheckpointError(f"{path}: expected a table {name!r}, got {table!r}"[:400])
    return cast(dict[str, Any], table)
