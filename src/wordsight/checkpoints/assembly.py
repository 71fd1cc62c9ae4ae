"""From what was detected of a file to a checkpoint: settings of the user, weights, vocabulary."""

from dataclasses import dataclass, replace
from pathlib import Path

from wordsight.checkpoints.checkpoint import Checkpoint, FormatName, Overrides
from wordsight.checkpoints.links import Link, read_weights
from wordsight.checkpoints.openai_names import NOT_WEIGHTS
from wordsight.checkpoints.tensors import WeightFile
from wordsight.checkpoints.tokenizers import find_tokenizer
from wordsight.errors import CheckpointError
from wordsight.images import Preprocessing
from wordsight.images.presets import OPENAI, SIGLIP
from wordsight.model.architecture import Activation, ClipConfig, VisionTransformerConfig
from wordsight.model.clip import expected_shapes
from wordsight.text import Tokenizer
from wordsight.text.presets import Family
from wordsight.text.vocabulary_files import find_vocabulary

GEMMA_VOCABULARY = 256_000
"""Tokens of SigLIP 2's vocabulary, by which its models are told from those of SigLIP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """What a file or folder turned out to be."""

    path: Path
    """What the user gave."""
    home: Path
    """Folder where a vocabulary may stand."""
    name: str
    format: FormatName
    architecture: ClipConfig
    preprocessing: Preprocessing
    foreign_tokenizer: str = ""
    """Name of the vocabulary that it needs, if that is of another family: it must be beside it."""
    notes: tuple[str, ...]


def with_activation(config: ClipConfig, activation: Activation | None) -> ClipConfig:
    """Return the same model with another activation in both towers; None leaves it as it is."""
    if activation is None:
        return config
    image = config.image
    if isinstance(image, VisionTransformerConfig):
        image = replace(image, activation=activation)
    return replace(config, image=image, text=replace(config.text, activation=activation))


def usual_preprocessing(config: ClipConfig) -> Preprocessing:
    """Return how the family prepares its pictures, where a file does not say."""
    return replace(SIGLIP if config.is_siglip else OPENAI, size=config.image.image_size)


def family(config: ClipConfig) -> Family:
    """Return whose rules its sentences follow."""
    if not config.is_siglip:
        return "clip"
    return "siglip2" if config.text.vocab_size == GEMMA_VOCABULARY else "siglip"


def assemble(
    found: Detected, file: WeightFile, links: list[Link], overrides: Overrides
) -> Checkpoint:
    """Return the checkpoint; no number is read before somebody asks for it.

    Raises:
        CheckpointError: naming file and layer, if the weights are not those of the architecture.
    """
    config, notes = found.architecture, list(found.notes)
    if overrides.activation is not None:
        config = with_activation(config, overrides.activation)
        notes.append(f"the activation {overrides.activation} is the one that was asked for")
    try:
        expected = expected_shapes(config)
    except RuntimeError as error:
        raise CheckpointError(f"{found.path}: no such model can be built: {error}") from None
    weights = read_weights(
        file.tensors,
        links,
        expected,
        path=file.path,
        ignored=lambda name: name in NOT_WEIGHTS,
    )
    tokenizer, about = _tokenizer(found, overrides.tokenizer)
    return Checkpoint(
        path=found.path,
        format=found.format,
        name=found.name,
        architecture=config,
        weights=weights,
        preprocessing=overrides.preprocessing or found.preprocessing,
        tokenizer=tokenizer,
        notes=(*notes, *about),
    )


def _tokenizer(found: Detected, override: Path | None) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """Return the vocabulary, and what there is to say about it."""
    config = found.architecture
    needed, is_alone = found.foreign_tokenizer, override is None
    if needed and is_alone and find_vocabulary(found.home, family=family(config)) is None:
        return None, (f"sentences cannot be read: the vocabulary {needed!r} is not beside it",)
    tokenizer = find_tokenizer(
        found.home,
        context_length=config.text.context_length,
        family=family(config),
        override=override,
    )
    if tokenizer is None:
        note = f"sentences cannot be read: there is no vocabulary beside the weights, {found.home}"
        return None, (note,)
    rows = config.text.vocab_size
    if family(config) == "clip" and tokenizer.vocabulary_size > rows:
        what = f"has {tokenizer.vocabulary_size} tokens, the model knows {rows}"
        if override is not None:
            raise CheckpointError(f"{override}: the vocabulary {what}", hint="give the model's own")
        return None, (f"sentences cannot be read: the vocabulary found {what}",)
    path = override or find_vocabulary(found.home, family=family(config))
    source = "OpenAI's, which open_clip brought here" if path is None else path.name
    return tokenizer, (f"vocabulary: {source}",)
