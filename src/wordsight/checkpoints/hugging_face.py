"""Folders of Hugging Face transformers: CLIP, SigLIP and SigLIP 2, read and written.

Names of the tensors and keys of config.json stand in `hugging_face_clip` and
`hugging_face_siglip`; here is what they share, the folder.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from wordsight.checkpoints.assembly import Detected, assemble, usual_preprocessing
from wordsight.checkpoints.card import NAME as CARD
from wordsight.checkpoints.card import read_licence, write_card
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.containers import open_weights
from wordsight.checkpoints.hugging_face_clip import CLIP, clip_links, describe_clip
from wordsight.checkpoints.hugging_face_config import Dialect, Settings, read_settings
from wordsight.checkpoints.hugging_face_siglip import (
    NAFLEX,
    SIGLIP,
    describe_siglip,
    siglip_links,
)
from wordsight.checkpoints.links import write_weights
from wordsight.checkpoints.preprocessing import from_preprocessor_config, to_preprocessor_config
from wordsight.checkpoints.safetensors_file import write_safetensors
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.checkpoints.tokenizers import hugging_face_files
from wordsight.errors import CheckpointError
from wordsight.files import write_bytes, write_text
from wordsight.images import Preprocessing
from wordsight.model.architecture import ClipConfig, VisionTransformerConfig

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where transformers looks for weights, in its order."""
DIALECTS: Mapping[str, Dialect] = {"clip": CLIP, "siglip": SIGLIP, "siglip2": NAFLEX}
BOTH_TOWERS = "both towers are needed: a CLIPModel, SiglipModel or Siglip2Model"


def is_hugging_face(folder: Path) -> bool:
    """Say whether a folder holds a model of transformers, of whatever kind."""
    path = folder / "config.json"
    return path.is_file() and read_settings(path).has("model_type")


def read_hugging_face(folder: Path, overrides: Overrides) -> Checkpoint:
    """Read a folder that `save_pretrained` of transformers wrote, or one of the hub.

    Raises:
        CheckpointError: naming the file, and the layer or key, where it is not a CLIP, SigLIP or
            SigLIP 2 with both towers, or the weights are not those that config.json describes.
    """
    settings = read_settings(folder / "config.json")
    model_type = settings.text("model_type", "")
    dialect = _dialect(settings, model_type)
    try:
        config = dialect.read(settings)
    except ValueError as error:
        raise CheckpointError(f"{settings.where}: {error}") from None
    file = _without_position_ids(open_weights(_weight_file(folder)))
    _check_towers(file)
    preprocessing, prepared = overrides.preprocessing, ()
    if preprocessing is None:
        preprocessing, prepared = _preprocessing(folder, config)
    found = Detected(
        path=folder,
        home=folder,
        name=folder.resolve().name,
        format="hf",
        architecture=config,
        preprocessing=preprocessing,
        notes=(
            f"a Hugging Face folder, model_type {model_type}, weights in {file.path.name}",
            _activations(config),
            *dialect.notes(config),
            *prepared,
        ),
    )
    checkpoint = assemble(found, file, dialect.links(config), overrides)
    return replace(checkpoint, licence=read_licence(folder))


def write_hugging_face(checkpoint: Checkpoint, folder: Path) -> None:
    """Fill an empty folder with what `from_pretrained` of transformers opens.

    Weights keep their types; config.json asks for the widest of them, so that transformers, which
    gives all weights one type, loses nothing.

    Raises:
        CheckpointError: if transformers has no such model.
    """
    config = checkpoint.architecture
    try:
        values = describe_siglip(config) if config.is_siglip else describe_clip(config)
    except ValueError as error:
        raise CheckpointError(
            f"{checkpoint.path}: cannot be written for Hugging Face: {error}",
            hint="write it as bundle, open_clip or openai",
        ) from None
    links = siglip_links(config) if config.is_siglip else clip_links(config)
    values["dtype"] = _widest(checkpoint.weights)
    values["text_config"] = _token_ids(checkpoint) | values["text_config"]
    _write_json(folder / "config.json", values)
    pictures = to_preprocessor_config(checkpoint.preprocessing, is_siglip=config.is_siglip)
    _write_json(folder / "preprocessor_config.json", pictures)
    write_safetensors(
        folder / "model.safetensors",
        write_weights(checkpoint.weights, links),
        metadata={"format": "pt"},
    )
    if checkpoint.tokenizer is not None:
        for name, content in hugging_face_files(checkpoint.tokenizer).items():
            write_bytes(folder / name, content)
    write_bytes(folder / CARD, write_card(checkpoint))


def _dialect(settings: Settings, model_type: str) -> Dialect:
    if settings.has("quantization_config"):
        raise CheckpointError(
            f"{settings.where}: the weights are quantised (quantization_config)",
            hint="use the folder it was made from, in float32, float16 or bfloat16",
        )
    if model_type in DIALECTS:
        return DIALECTS[model_type]
    base = model_type.removesuffix("_model").removesuffix("_vision").removesuffix("_text")
    if base in DIALECTS:
        raise CheckpointError(
            f"{settings.where}: model_type {model_type!r} is one tower alone", hint=BOTH_TOWERS
        )
    raise CheckpointError(
        f"{settings.where}: model_type is {model_type!r}; expected {', '.join(DIALECTS)}",
        hint="other models of transformers have no image and text tower that we know",
    )


def _weight_file(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"{folder}: there are no weights; expected one of {', '.join(WEIGHT_FILES)}",
        hint="weights of TensorFlow and Flax are not read; nor are variants such as "
        "model.fp16.safetensors, unless renamed to model.safetensors",
    )


def _check_towers(file: WeightFile) -> None:
    for tower, other in (("vision", "text"), ("text", "vision")):
        if not any(name.startswith(f"{tower}_model.") for name in file.tensors):
            raise CheckpointError(
                f"{file.path}: layers '{tower}_model.*' are missing: it is no more than "
                f"the {other} tower",
                hint=BOTH_TOWERS,
            )


def _without_position_ids(file: WeightFile) -> WeightFile:
    """Leave out the rows of 0, 1, 2, ... that transformers saved until version 4.31."""
    tensors = {
        name: tensor
        for name, tensor in file.tensors.items()
        if not name.endswith("_model.embeddings.position_ids")
    }
    return replace(file, tensors=tensors)


def _activations(config: ClipConfig) -> str:
    assert isinstance(config.image, VisionTransformerConfig)
    return f"activation of pictures {config.image.activation}, of texts {config.text.activation}"


def _preprocessing(folder: Path, config: ClipConfig) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return how pictures are prepared, and what there is to say about it."""
    size = config.image.image_size
    settings = _picture_settings(folder)
    if settings is None:
        family = "SigLIP" if config.is_siglip else "OpenAI"
        note = f"no preprocessor_config.json: pictures are prepared as {family}'s, at {size} px"
        return usual_preprocessing(config), (note,)
    try:
        found = from_preprocessor_config(_picture_values(settings, config))
    except CheckpointError as error:
        raise CheckpointError(f"{settings.where}: {error}", hint=error.hint) from None
    if found.size == size:
        return found, ()
    note = f"{settings.where} prepares {found.size} px, config.json says {size}: {size} it is"
    return replace(found, size=size), (note,)


def _picture_settings(folder: Path) -> Settings | None:
    """Return the settings of the image processor; transformers 5 nests them in another file."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        settings = read_settings(path)
        return settings.table("image_processor") if settings.has("image_processor") else settings
    path = folder / "processor_config.json"
    if path.is_file() and (settings := read_settings(path)).has("image_processor"):
        return settings.table("image_processor")
    return None


def _picture_values(settings: Settings, config: ClipConfig) -> Mapping[str, Any]:
    """Return the settings of an image processor, with those that its kind implies."""
    kind = "SiglipImageProcessor" if config.is_siglip else "CLIPImageProcessor"
    values = {"image_processor_type": kind, **settings.values}
    if values.pop("max_num_patches", None) is None:
        return values
    side = config.image.image_size  # NaFlex, which says how many patches instead
    return {"resample": 2, **values, "size": {"height": side, "width": side}}


def _widest(weights: Mapping[str, LazyTensor]) -> str:
    widest = reduce(torch.promote_types, (tensor.dtype for tensor in weights.values()))
    return str(widest).removeprefix("torch.")


def _token_ids(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the control tokens; null where there are none, else transformers takes CLIP's."""
    rules = None if checkpoint.tokenizer is None else checkpoint.tokenizer.rules
    return {
        "bos_token_id": rules and rules.start_id,
        "eos_token_id": rules and rules.end_id,
        "pad_token_id": rules and rules.pad_id,
    }


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2) + "\n")
