"""OpenAI's checkpoints: TorchScript archives of the paper's models, and state dicts of its code.

An archive is the original, and all originals have QuickGELU. A state dict may also come from other
code that took over OpenAI's names; its activation is a guess, and said to be one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import IO

import torch
from torch import Tensor

from wordsight.checkpoints.assembly import Detected, assemble, usual_preprocessing
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.known_towers import known_heads
from wordsight.checkpoints.links import write_weights
from wordsight.checkpoints.openai_names import openai_links
from wordsight.checkpoints.openai_shapes import Shapes, built_elsewise, infer
from wordsight.checkpoints.tensors import LazyTensor, WeightFile
from wordsight.errors import CheckpointError
from wordsight.model.architecture import ClipConfig

NEEDED = ("text_projection", "positional_embedding", "token_embedding.weight", "ln_final.weight")
IMAGE_MARKS = ("visual.class_embedding", "visual.layer1.0.conv1.weight")


def has_openai_names(tensors: Mapping[str, LazyTensor]) -> bool:
    """Say whether a file names its tensors as OpenAI does: a CLIP with both towers."""
    return all(name in tensors for name in NEEDED) and any(name in tensors for name in IMAGE_MARKS)


def is_openai(file: WeightFile) -> bool:
    """Say whether OpenAI's code would open a file: it knows no safetensors, and 64 is its head."""
    if not has_openai_names(file.tensors) or "logit_bias" in file.tensors:
        return False
    if file.container == "torchscript":
        return True
    config = infer(Shapes(file.path, file.tensors), "quick_gelu")
    has_64 = known_heads(config.image) in (None, config.image.num_heads)
    return file.container == "torch" and has_64 and not built_elsewise(config)


def read_openai(file: WeightFile, overrides: Overrides) -> Checkpoint:
    """Read an OpenAI archive or a state dict in its names.

    Raises:
        CheckpointError: naming file and layer, if tensors are missing, unexpected or of shapes that
            OpenAI's code would build no model for.
    """
    config = infer(Shapes(file.path, file.tensors), "quick_gelu")
    if file.container == "torchscript":
        notes = (
            "a TorchScript archive with the names of OpenAI's CLIP",
            "activation quick_gelu: all of OpenAI's archives have it",
        )
    else:
        notes = (
            "a state dict with the names of OpenAI's CLIP",
            "activation quick_gelu is a guess: the file does not say, and OpenAI's code would take "
            "it; a model that open_clip trained usually needs gelu",
        )
    found = Detected(
        path=file.path,
        home=file.path.parent,
        name=file.path.stem,
        format="openai",
        architecture=config,
        preprocessing=usual_preprocessing(config),
        notes=(*notes, f"pictures are prepared as OpenAI's, at {config.image.image_size} px"),
    )
    return assemble(found, file, openai_links(config), overrides)


def write_openai(checkpoint: Checkpoint, file: IO[bytes]) -> None:
    """Write a state dict that OpenAI's code and open_clip load; numbers keep their types.

    All weights are in memory at the same time, as `torch.save` needs them. Such a file has no place
    for preprocessing, vocabulary and licence: whoever opens it takes OpenAI's.

    Raises:
        CheckpointError: if OpenAI's code would build another model from these weights.
    """
    config = as_openai(checkpoint.architecture)
    if reason := built_elsewise(config):
        raise CheckpointError(
            f"{checkpoint.path}: cannot be written as an OpenAI state dict: {reason}, and such a "
            "file has no place to say so",
            hint="write it as bundle, open_clip or hf",
        )
    theirs = write_weights(checkpoint.weights, openai_links(config))
    torch.save({name: _alone(tensor.read()) for name, tensor in theirs.items()}, file)


def as_openai(config: ClipConfig) -> ClipConfig:
    """Return the same model; pooling at the end token is said as at the largest id where it is."""
    text = config.text
    if text.pooling == "end" and text.end_id == text.vocab_size - 1:
        return replace(config, text=replace(text, pooling="argmax", end_id=None))
    return config


def _alone(tensor: Tensor) -> Tensor:
    """Return the tensor with memory of its own: `torch.save` writes the whole of what it shares."""
    tensor = tensor.contiguous()
    is_alone = tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if is_alone else tensor.clone()
