"""Checkpoints of other libraries on the torch engine, without writing a bundle first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.bundle import BundleConfig
from wordsight.bundle.prompts import Prompts
from wordsight.engine.choice import Engine, check_engine
from wordsight.engine.settings import EngineSettings
from wordsight.engine.torch import TorchRunner, prepare_torch
from wordsight.errors import CheckpointError, InputError, MissingError
from wordsight.packages import is_installed
from wordsight.text import Tokenizer

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Checkpoint, Overrides


GIVE_ONE = (
    "put its own tokenizer.json beside it, or give one: "
    "load(path, overrides=Overrides(tokenizer=FILE))"
)


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """An opened checkpoint as the source of a model."""

    checkpoint: "Checkpoint"
    config: BundleConfig

    @property
    def path(self) -> Path:
        """File or folder."""
        return self.checkpoint.path

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer that was found beside the weights.

        Raises:
            CheckpointError: if there is none, or it belongs to another model.
        """
        tokenizer = self.checkpoint.tokenizer
        if tokenizer is None:
            raise CheckpointError(
                f"{self.path}: comes without a vocabulary, so it can embed pictures but no "
                "sentences",
                hint=GIVE_ONE,
            )
        num_rows = self.checkpoint.architecture.text.vocab_size
        if tokenizer.vocabulary_size > num_rows:
            raise CheckpointError(
                f"{self.path}: the vocabulary has ids up to {tokenizer.vocabulary_size - 1}, the "
                f"text tower knows {num_rows}: it belongs to another model",
                hint=GIVE_ONE,
            )
        return tokenizer

    def prompts(self) -> Prompts:
        """Return no templates: checkpoints hold none, so a name stands alone."""
        return Prompts()


def open_foreign(
    path: Path, overrides: "Overrides | None", *, engine: str, settings: EngineSettings
) -> tuple[CheckpointSource, Engine]:
    """Open a checkpoint of any library on torch.

    Raises:
        CheckpointError: if it is damaged, hostile, or of no known kind.
        InputError: if another engine than torch was asked for.
        MissingError: if torch, or the device, is not there.
    """
    if check_engine(engine, settings) not in ("auto", "torch"):
        raise InputError(
            f"{path}: a checkpoint runs on torch, not on {engine}",
            hint="make a model with ONNX towers of it first: wordsight export",
        )
    if not is_installed("torch"):
        raise MissingError(
            f"{path}: is no bundle, and to open anything else takes torch",
            hint='pip install "wordsight[torch]"',
        )
    prepare_torch(settings)
    source, image, text = open_towers(path, overrides)
    image, text = (
        TorchRunner(tower, path, settings=settings, error=CheckpointError)
        for tower in (image, text)
    )
    return source, Engine("torch", image, text, settings=settings)


def open_towers(path: Path, overrides: "Overrides | None") -> tuple[CheckpointSource, Any, Any]:
    """Open a checkpoint, and build both towers as torch modules in float32.

    Raises:
        CheckpointError: if it is damaged, hostile, or of no known kind.
    """
    from wordsight.checkpoints.building import build
    from wordsight.checkpoints.bundle_format import bundle_config
    from wordsight.checkpoints.opening import open_checkpoint

    checkpoint = open_checkpoint(path) if overrides is None else open_checkpoint(path, overrides)
    clip = build(checkpoint)
    return CheckpointSource(checkpoint, bundle_config(checkpoint)), clip.image, clip.text
