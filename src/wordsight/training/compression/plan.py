"""What is compressed, into what: everything that can be refused is refused before it costs time."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wordsight.errors import ConfigError, InputError
from wordsight.images import Preprocessing
from wordsight.model.architecture import ImageConfig, VisionTransformerConfig, describe
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.training.compression.config import CompressConfig
from wordsight.training.compression.course import OnStep
from wordsight.training.compression.parent import Parent, known_sentences, open_parent
from wordsight.training.compression.pictures import Progress
from wordsight.training.compression.pruning import pruned_config
from wordsight.training.compression.student import new_student, num_parameters, student_config
from wordsight.transfer.class_vectors import ClassVectors


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is compressed, where to, and how."""

    model: Path
    out: Path
    config: CompressConfig
    pictures: str
    """Where the pictures come from, in words."""
    sentences: Path | None = None
    language: str = "en"
    device: str = "cpu"
    progress: Progress = lambda _step, _done, _of: None
    on_step: OnStep | None = None

    @property
    def run(self) -> Path:
        """Folder beside the bundle that is locked while it is made, and holds its run."""
        return self.out.parent / f"{self.out.name}.run"


@dataclass(frozen=True, slots=True)
class Plan:
    """Parent, sentences and what the student will be: all that can be refused is known to fit."""

    parent: Parent
    sentences: ClassVectors
    config: ImageConfig
    preprocessing: Preprocessing
    """The parent's, at the student's size."""
    name: str
    """Of the student, without the folder of a file; empty for a pruned parent."""

    @property
    def fingerprint(self) -> str:
        """Digest of all of it."""
        digest = hashlib.sha256(self.parent.checksum.encode())
        digest.update("\n".join(self.sentences.names).encode())
        digest.update(repr((describe(self.config), self.preprocessing)).encode())
        return digest.hexdigest()[:32]

    @property
    def in_words(self) -> str:
        """What the student is, for people."""
        image, own = self.config, self.parent.image
        if self.name:
            return f"{self.name}, pictures of {image.image_size} px"
        assert isinstance(image, VisionTransformerConfig)
        was = own.tower.config
        return (
            f"the parent with {image.num_heads} of {was.num_heads} heads and {image.mlp_width} of "
            f"{was.mlp_width} neurons in each of {image.depth} of {was.depth} layers"
        )


def make_plan(order: Order) -> Plan:
    """Open the parent and decide what the student will be.

    Raises:
        InputError, ConfigError, CheckpointError: as `compress_tower`.
    """
    config = order.config
    if config.is_pruning and (config.keep, config.keep_layers) == (1.0, 1.0):
        raise ConfigError(
            "nothing says what the small model shall be",
            hint="name a student, such as --student small-rn-64, or prune: --keep 0.5",
        )
    if order.out.resolve() == order.model.resolve():
        raise InputError(
            f"{order.out}: is the parent itself, which would be lost", hint="choose another --out"
        )
    if not config.is_pruning and not (config.steps or config.epochs):
        raise ConfigError("a new student that takes no steps knows nothing", hint="--epochs 10")
    parent = open_parent(order.model)
    width, recipe = parent.model.embed_dim, parent.model.source.config.preprocessing
    if config.is_pruning:
        chosen: ImageConfig = _remaining(parent, config)
        preprocessing = recipe
    else:
        chosen = student_config(config.student, embed_dim=width)
        preprocessing = replace(recipe, size=chosen.image_size)
        _refuse_larger(parent, chosen, config.student)
    sentences = known_sentences(parent.model, order.sentences, language=order.language)
    return Plan(parent, sentences, chosen, preprocessing, Path(config.student).name)


def _remaining(parent: Parent, config: CompressConfig) -> VisionTransformerConfig:
    """Return what is left of a parent.

    Raises:
        CheckpointError: if its tower cannot be pruned.
        ConfigError: if nothing would be removed.
    """
    tower = parent.prunable().tower
    assert isinstance(tower, VisionTransformer)
    left = pruned_config(tower.config, keep=config.keep, keep_layers=config.keep_layers)
    if left == tower.config:
        own = tower.config
        raise ConfigError(
            f"keep {config.keep} and keep_layers {config.keep_layers} remove nothing of "
            f"{own.depth} layers with {own.num_heads} heads and {own.mlp_width} neurons",
            hint="give a smaller share",
        )
    return left


def _refuse_larger(parent: Parent, chosen: ImageConfig, name: str) -> None:
    """Refuse a student with neither fewer weights nor smaller pictures."""
    with torch.device("meta"):
        student = new_student(chosen, embed_dim=parent.model.embed_dim, seed=0)
    own, side = num_parameters(student), parent.model.source.config.preprocessing.size
    if own >= parent.num_parameters and chosen.image_size >= side:
        raise InputError(
            f"{name} is no smaller than {parent.model.name}: {own:,} weights and pictures of "
            f"{chosen.image_size} px, the parent's {parent.num_parameters:,} and {side} px",
            hint="choose a smaller architecture; `wordsight models` lists them with their sizes",
        )
