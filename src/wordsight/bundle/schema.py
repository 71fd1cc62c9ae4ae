"""What config.json of a bundle holds, and how it is read from a file nobody vouches for."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from wordsight.config import from_dict, to_dict
from wordsight.errors import BundleError, ConfigError
from wordsight.images import Preprocessing
from wordsight.text.rules import TokenizerRules

SCHEMA = 1
MAX_CONFIG_BYTES = 1 << 20

T = TypeVar("T")
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarity:
    """How cosines become scores: `scale * cosine + bias` (Radford et al., 2021, figure 3)."""

    scale: float
    """Multiplier of the cosine, exp(t) of the paper; 1 to 100 in CLIP."""
    bias: float = 0.0
    """Added to the scaled cosine; SigLIP learns one, CLIP has none."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite number above 0, got {self.scale}")
        if not math.isfinite(self.bias):
            raise ValueError(f"bias must be finite, got {self.bias}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleConfig:
    """Everything about a model that is not weights."""

    schema: int = SCHEMA
    """Version of this layout."""
    name: str
    """What people call the model."""
    embed_dim: int
    """Width of the joint space."""
    similarity: Similarity
    """Scale and bias of the similarity."""
    preprocessing: Preprocessing
    """How a picture becomes the input of the image tower."""
    tokenizer: TokenizerRules
    """What to know beside tokenizer.json."""
    precision: Precision = "float32"
    """What engines that can may multiply in; int8 is part of a graph, and this is for the rest."""
    architecture: dict[str, Any] = field(default_factory=dict[str, Any])
    """Towers and heads in model.safetensors, for the torch engine; empty if there is none."""
    class_names: tuple[str, ...] = ()
    """Names of the classes that the image tower's classifier scores, if it has one."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Towers, data, seed and versions the model was made from."""

    def __post_init__(self) -> None:
        if self.embed_dim < 1:
            raise ValueError(f"embed_dim must be positive, got {self.embed_dim}")

    def to_json(self) -> str:
        """Return the text of config.json."""
        return json.dumps(to_dict(self), indent=2, ensure_ascii=False) + "\n"


def read_config(path: Path) -> BundleConfig:
    """Read config.json: bounded in size, no key twice, no NaN, nothing unknown.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    values = read_json(path)
    schema = values.get("schema")
    if schema != SCHEMA:
        raise BundleError(
            f"{path}: schema {schema!r} is not one this version can read (it reads {SCHEMA})",
            hint="a newer wordsight may have written it: upgrade, or write it again with this one",
        )
    return as_type(BundleConfig, values, path)


def as_type(kind: type[T], values: dict[str, Any], path: Path) -> T:
    """Make an object of what a JSON file of a bundle says.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    try:
        return from_dict(kind, values, where=str(path))
    except ConfigError as error:
        raise BundleError(str(error), hint=error.hint) from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that may come from anywhere."""
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise BundleError(f"{path}: larger than the {MAX_CONFIG_BYTES} bytes it may have")
    try:
        values = json.loads(
            path.read_bytes(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path}: expected a JSON object")
    return values  # pyright: ignore[reportUnknownVariableType]


def _unique(items: list[tuple[str, Any]]) -> Mapping[str, Any]:
    values = dict(items)
    if len(values) != len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")
