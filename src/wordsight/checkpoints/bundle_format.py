"""Bundles as a checkpoint format: our own names and numbers, so there is nothing to translate."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from wordsight.bundle import Bundle, BundleConfig, Similarity, open_bundle, write_bundle
from wordsight.bundle.store import CARD, TOKENIZER, WEIGHTS
from wordsight.checkpoints.assembly import family, with_activation
from wordsight.checkpoints.card import write_card
from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
from wordsight.checkpoints.links import Link, read_weights
from wordsight.checkpoints.safetensors_file import read_safetensors, write_safetensors
from wordsight.checkpoints.tensors import LazyTensor
from wordsight.checkpoints.tokenizers import find_tokenizer
from wordsight.errors import CheckpointError, ConfigError
from wordsight.model.architecture import (
    KINDS,
    ClipConfig,
    TextTransformerConfig,
    describe,
    read_description,
)
from wordsight.model.clip import expected_shapes
from wordsight.text import Tokenizer, TokenizerRules

SCALE, BIAS = "logit_scale", "logit_bias"
ALONE = "it can be used and exported as it is, but no other library has such a model"


def read_bundle(path: Path, overrides: Overrides) -> Checkpoint:
    """Read a bundle whose towers are of the CLIP family.

    Raises:
        BundleError: if the folder is damaged or not a bundle.
        CheckpointError: if its towers or heads have no counterpart in other formats, or it has no
            model.safetensors; the message names file and layer.
        InputError: if it is an edge bundle.
    """
    bundle = open_bundle(path)
    bundle.need_text()
    if not bundle.has_weights:
        raise CheckpointError(
            f"{path}: has graphs alone and no {WEIGHTS}: there are no weights to read", hint=ALONE
        )
    tensors = read_safetensors(path / WEIGHTS).tensors
    config = _architecture(bundle, tensors)
    expected = expected_shapes(config)
    defaults = _similarity(bundle.config.similarity)
    links = [Link(name, (name,), default=defaults.get(name)) for name in expected]
    weights = read_weights(tensors, links, expected, path=path / WEIGHTS)
    notes = [f"a bundle of wordsight, weights in {WEIGHTS}"]
    if overrides.activation is not None:
        config = with_activation(config, overrides.activation)
        notes.append(f"the activation {overrides.activation} is the one that was asked for")
    return Checkpoint(
        path=path,
        format="bundle",
        name=bundle.config.name,
        architecture=config,
        weights=weights,
        preprocessing=overrides.preprocessing or bundle.config.preprocessing,
        tokenizer=_tokenizer(bundle, config, overrides.tokenizer),
        notes=tuple(notes),
        licence=str(bundle.config.provenance.get("licence", "")),
    )


def write_bundle_format(checkpoint: Checkpoint, path: Path) -> None:
    """Write a bundle, whole or not at all; weights keep their types.

    Raises:
        BundleError: if `path` is a folder that is not a bundle.
        CheckpointError: if there is no vocabulary, without which a bundle cannot be.
    """
    tokenizer = checkpoint.tokenizer
    if tokenizer is None:
        raise CheckpointError(
            f"{checkpoint.path}: there is no vocabulary beside the weights, and a bundle needs one",
            hint="give the tokenizer: a tokenizer.json, OpenAI's merges file, or a SentencePiece "
            "model",
        )
    write_bundle(
        path,
        bundle_config(checkpoint),
        {
            WEIGHTS: lambda file: write_safetensors(file, checkpoint.weights),
            TOKENIZER: tokenizer.to_bytes(),
            CARD: write_card(checkpoint),
        },
    )


def bundle_config(checkpoint: Checkpoint) -> BundleConfig:
    """Return what config.json of a bundle says of a checkpoint.

    Raises:
        CheckpointError: if its scale or bias is not a number that a similarity can have.
    """
    config, weights = checkpoint.architecture, checkpoint.weights
    log_scale = float(weights[SCALE].read())
    bias = float(weights[BIAS].read()) if config.has_logit_bias else 0.0
    try:
        similarity = Similarity(scale=math.exp(log_scale), bias=bias)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: layers {SCALE!r} {log_scale} and {BIAS!r} {bias}: {error}"
        ) from None
    tokenizer = checkpoint.tokenizer
    blank = TokenizerRules(
        cleaning="none", context_length=config.text.context_length, pad_id=0, pad_to_context=True
    )
    provenance: dict[str, Any] = {
        "converted_from": {"format": checkpoint.format, "name": checkpoint.name},
        "notes": list(checkpoint.notes),
    }
    if checkpoint.licence:
        provenance["licence"] = checkpoint.licence
    return BundleConfig(
        name=checkpoint.name,
        embed_dim=config.embed_dim,
        similarity=similarity,
        preprocessing=checkpoint.preprocessing,
        tokenizer=blank if tokenizer is None else tokenizer.rules,
        architecture={"image": describe(config.image), "text": describe(config.text)},
        provenance=provenance,
    )


def _architecture(bundle: Bundle, tensors: Mapping[str, LazyTensor]) -> ClipConfig:
    towers = bundle.config.architecture
    where = f"{bundle.path}: architecture"
    for side in ("image", "text"):
        tower: Any = towers.get(side)
        kind = cast(Mapping[str, Any], tower).get("kind") if isinstance(tower, Mapping) else None
        if kind not in KINDS:
            raise CheckpointError(
                f"{where}.{side}: a tower of kind {kind!r} is not of the CLIP family; expected "
                f"{', '.join(KINDS)}",
                hint=ALONE,
            )
    learnt = next((name for name in ("image.head.mean", "text.head.mean") if name in tensors), None)
    if learnt is not None:
        raise CheckpointError(
            f"{bundle.path / WEIGHTS}: layer {learnt!r} belongs to a head that was learnt between "
            "frozen towers",
            hint=ALONE,
        )
    try:
        image = read_description(towers["image"], where=f"{where}.image")
        text = read_description(towers["text"], where=f"{where}.text")
        if isinstance(image, TextTransformerConfig) or not isinstance(text, TextTransformerConfig):
            raise CheckpointError(f"{where}: the towers of picture and text are mixed up")
        return ClipConfig(
            image=image,
            text=text,
            embed_dim=bundle.config.embed_dim,
            has_text_bias="text.head.linear.bias" in tensors,
            has_logit_bias=BIAS in tensors or bundle.config.similarity.bias != 0,
        )
    except (ConfigError, ValueError) as error:
        raise CheckpointError(f"{where}: {error}") from None


def _similarity(similarity: Similarity) -> dict[str, Callable[[], Tensor]]:
    """Return scale and bias of config.json, for a file that has neither."""
    return {
        SCALE: lambda: torch.tensor(math.log(similarity.scale)),
        BIAS: lambda: torch.tensor(similarity.bias),
    }


def _tokenizer(bundle: Bundle, config: ClipConfig, override: Path | None) -> Tokenizer | None:
    if override is None:
        return bundle.tokenizer()
    return find_tokenizer(
        bundle.path,
        context_length=config.text.context_length,
        family=family(config),
        override=override,
    )
