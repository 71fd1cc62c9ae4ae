"""What models there are, what they cost, and which of them are on this machine already."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.bundle.schema import read_config
from wordsight.bundle.store import CONFIG
from wordsight.engine.loading import SHIPPED, locate
from wordsight.model import zoo
from wordsight.model.size import Cost, ModelSize, measure

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".npz")


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Learnt weights of a model that can be had."""

    source: str
    """What `wordsight.load` takes: a shipped name, or hf:owner/name."""
    licence: str
    """As the model card states it; empty if it states none, or we do not know."""
    is_installed: bool
    """Whether they are on this machine: shipped, or in the cache of the Hugging Face hub."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """One line of `wordsight models`."""

    name: str
    size: ModelSize | None
    """None for a shipped model, which is more than an architecture of the zoo."""
    image_size: int
    """Side of the picture in pixels."""
    embed_dim: int
    context_length: int
    """Tokens of a sentence at most."""
    tokenizer: str
    """Family of the tokenizer; empty for a shipped model, which has its own."""
    paper: str
    weights: tuple[KnownWeights, ...]

    @property
    def licences(self) -> tuple[str, ...]:
        """Licences of all known weights, each once."""
        return tuple(dict.fromkeys(known.licence for known in self.weights if known.licence))

    @property
    def installed(self) -> tuple[str, ...]:
        """What `wordsight.load` opens on this machine without a network."""
        return tuple(known.source for known in self.weights if known.is_installed)

    def to_json(self) -> dict[str, Any]:
        """Return the object of one JSON line; `giga_operations` counts a multiply-add as two."""
        return {
            "name": self.name,
            "parameters": self.size.num_parameters if self.size else None,
            "image": _cost_to_json(self.size.image if self.size else None),
            "text": _cost_to_json(self.size.text if self.size else None),
            "image_size": self.image_size,
            "embed_dim": self.embed_dim,
            "context_length": self.context_length,
            "tokenizer": self.tokenizer,
            "paper": self.paper,
            "weights": [
                {"source": known.source, "licence": known.licence, "installed": known.is_installed}
                for known in self.weights
            ],
        }


def list_models() -> list[ModelRow]:
    """Return the shipped models, then every architecture of the zoo.

    Only names of folders and files are looked at to find what is installed: no network, no model
    is opened.
    """
    cache = hub_cache(os.environ)
    return [*map(_shipped, SHIPPED), *(_known(model, cache) for model in zoo.models())]


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Return the folder in which huggingface_hub keeps what it has fetched."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    base = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def _shipped(name: str) -> ModelRow:
    config = read_config(locate(name) / CONFIG)
    licence = str(config.provenance.get("licence", ""))
    return ModelRow(
        name=name,
        size=None,
        image_size=config.preprocessing.size,
        embed_dim=config.embed_dim,
        context_length=config.tokenizer.context_length,
        tokenizer="",
        paper="",
        weights=(KnownWeights(name, licence, is_installed=True),),
    )


def _known(model: zoo.ZooModel, cache: Path) -> ModelRow:
    architecture = model.architecture
    return ModelRow(
        name=model.name,
        size=measure(architecture),
        image_size=architecture.image.image_size,
        embed_dim=architecture.embed_dim,
        context_length=architecture.text.context_length,
        tokenizer=model.tokenizer,
        paper=model.paper,
        weights=tuple(
            KnownWeights(
                f"hf:{public.repository}", public.licence, _is_cached(public.repository, cache)
            )
            for public in model.public
        ),
    )


def _is_cached(repository: str, cache: Path) -> bool:
    """Say whether the cache holds weights, not only a configuration or a vocabulary."""
    snapshots = cache / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(file.suffix in WEIGHTS and file.exists() for file in snapshots.glob("*/*"))


def _cost_to_json(cost: Cost | None) -> dict[str, float] | None:
    if cost is None:
        return None
    return {"parameters": cost.parameters, "giga_operations": round(cost.operations / 1e9, 3)}
