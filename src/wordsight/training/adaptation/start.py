"""The model that an adaptation starts from, and models of the same kind with other weights."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wordsight.bundle import open_bundle
from wordsight.bundle.prompts import Prompts
from wordsight.checkpoints.bundle_format import bundle_config
from wordsight.checkpoints.checkpoint import Checkpoint
from wordsight.checkpoints.opening import open_checkpoint
from wordsight.checkpoints.tensors import in_memory
from wordsight.engine.checkpoint import CheckpointSource
from wordsight.engine.choice import Engine
from wordsight.engine.loading import is_bundle
from wordsight.engine.model import Model
from wordsight.engine.settings import EngineSettings
from wordsight.engine.torch import TorchRunner
from wordsight.errors import CheckpointError
from wordsight.model.clip import Clip, build_clip
from wordsight.text import Tokenizer


@dataclass(frozen=True, slots=True)
class StartSource(CheckpointSource):
    """A checkpoint with the templates of the bundle that it is."""

    own_prompts: Prompts

    def prompts(self) -> Prompts:
        """Return the templates of the bundle; none for another checkpoint."""
        return self.own_prompts


@dataclass(frozen=True, slots=True)
class Start:
    """An opened model of the CLIP family."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    prompts: Prompts
    weights: Mapping[str, Tensor]
    """In float32; whoever learns takes a copy."""
    device: torch.device

    def clip(self) -> Clip:
        """Return a model with weights of its own, to be learnt."""
        copies = {name: value.clone() for name, value in self.weights.items()}
        return build_clip(self.checkpoint.architecture, copies)

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str) -> Checkpoint:
        """Return a checkpoint of the same kind with other weights."""
        lazy = {key: in_memory(value.detach().cpu()) for key, value in weights.items()}
        return dataclasses.replace(self.checkpoint, name=name, weights=lazy)

    def model(self, weights: Mapping[str, Tensor] | None = None) -> Model:
        """Return what encodes with these weights, or with those of the start; on torch."""
        given = self.weights if weights is None else weights
        checkpoint = self.with_weights(given, name=self.checkpoint.name)
        clip = build_clip(checkpoint.architecture, given)
        settings = EngineSettings(device=str(self.device))
        runners = (
            TorchRunner(tower, checkpoint.path, settings=settings, error=CheckpointError)
            for tower in (clip.image, clip.text)
        )
        source = StartSource(checkpoint, bundle_config(checkpoint), self.prompts)
        return Model(source, Engine("torch", *runners))


def open_start(path: Path, *, device: str = "cpu") -> Start:
    """Open a bundle or checkpoint whose towers can learn.

    Raises:
        CheckpointError: if its towers are graphs, or not of the CLIP family, or there is no
            vocabulary.
        BundleError: if it is damaged.
        InputError: if it is an edge bundle.
    """
    bundle = open_bundle(path) if is_bundle(path) else None
    if bundle:
        bundle.need_text()
    if bundle and not bundle.has_weights:
        raise CheckpointError(
            f"{path.name}: its towers are graphs, which cannot be taught",
            hint="--method few-shot works with it; to teach towers start from a model of "
            "wordsight train, or from a published checkpoint",
        )
    checkpoint = open_checkpoint(path)
    if checkpoint.tokenizer is None:
        raise CheckpointError(
            f"{path}: there is no vocabulary beside the weights",
            hint="put its tokenizer.json, or OpenAI's merges file, into the folder",
        )
    weights = {name: lazy.read().float() for name, lazy in checkpoint.weights.items()}
    prompts = bundle.prompts() if bundle else Prompts()
    return Start(checkpoint, checkpoint.tokenizer, prompts, weights, torch.device(device))
