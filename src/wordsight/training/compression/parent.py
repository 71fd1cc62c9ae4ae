"""The large model: what it says of pictures and sentences, and its towers where torch has them."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.bundle import Bundle
from wordsight.bundle.store import IMAGE_GRAPH
from wordsight.data.class_file import read_class_file
from wordsight.engine.checkpoint import open_towers
from wordsight.engine.loading import is_bundle, load
from wordsight.engine.model import Model
from wordsight.engine.torch import bundle_towers
from wordsight.errors import CheckpointError, InputError
from wordsight.files import sha256
from wordsight.model.clip import ProjectedTower
from wordsight.model.vision_transformer import VisionTransformer
from wordsight.packages import require
from wordsight.training.compression.student import num_parameters
from wordsight.training.compression.words import WORDS
from wordsight.transfer.class_vectors import ClassVectors, class_vectors

CLASS_FILE = ".toml"


@dataclass(frozen=True, slots=True)
class Parent:
    """An opened parent."""

    model: Model
    image: Any
    """Its image tower with its head as a torch module; None where it has graphs alone."""
    text: Any
    """Likewise its text tower."""
    num_parameters: int
    """Of the image tower with its head."""

    @property
    def bundle(self) -> Bundle | None:
        """The bundle that it is; None for a checkpoint of another library."""
        source = self.model.source
        return source if isinstance(source, Bundle) else None

    @property
    def checksum(self) -> str:
        """Digest of everything that can change what it says."""
        digest = hashlib.sha256()
        if self.bundle is not None:
            for name, value in sorted(self.bundle.files.items()):
                digest.update(f"{value}  {name}\n".encode())
            return digest.hexdigest()[:32]
        path = self.model.source.path
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            digest.update(sha256(file).encode())
        return digest.hexdigest()[:32]

    @property
    def image_bytes(self) -> int:
        """Size of the image tower: of its graph, or of its weights in float32."""
        if self.bundle is not None and self.bundle.has_graphs:
            return (self.bundle.path / IMAGE_GRAPH).stat().st_size
        return 4 * self.num_parameters

    def prunable(self) -> ProjectedTower:
        """Return the tower that parts can be removed from.

        Raises:
            CheckpointError: if it is a graph, or no vision transformer of ours.
        """
        hint = "name a student instead: --student small-rn-64"
        if self.image is None:
            raise CheckpointError(
                f"{self.model.name}: its towers are graphs, out of which nothing can be cut",
                hint=hint,
            )
        is_ours = isinstance(self.image, ProjectedTower)
        if not (is_ours and isinstance(self.image.tower, VisionTransformer)):
            raise CheckpointError(
                f"{self.model.name}: its image tower is a {type(self.image.tower).__name__}, and "
                "only vision transformers can be pruned",
                hint=hint,
            )
        return self.image


def open_parent(path: Path) -> Parent:
    """Open a parent on the fastest engine, and its towers on torch where it has weights.

    Raises:
        InputError, BundleError, CheckpointError: if it cannot be opened.
    """
    model = load(path)
    if isinstance(model.source, Bundle):
        model.source.need_text()
    image, text = None, None
    if not is_bundle(path):
        _, image, text = open_towers(path, None)
    elif isinstance(model.source, Bundle) and model.source.has_weights:
        image, text = bundle_towers(model.source)
    count = num_parameters(image) if image is not None else _graph_weights(path / IMAGE_GRAPH)
    return Parent(model, image, text, count)


def _graph_weights(path: Path) -> int:
    """Count the numbers in the weights of a graph; scalars and shapes are not weights."""
    onnx = require("onnx", extra="torch")
    graph = onnx.load(str(path)).graph
    shapes: list[tuple[int, ...]] = [tuple(tensor.dims) for tensor in graph.initializer]
    return sum(math.prod(shape) for shape in shapes if shape)


def known_sentences(model: Model, file: Path | None, *, language: str) -> ClassVectors:
    """Embed the sentences that decisions are compared on: the user's, or everyday words.

    Args:
        file: a class file (.toml), or text with a sentence a line; everyday words in the model's
            own templates if not given.

    Raises:
        InputError, ConfigError: if the file cannot be read, or says fewer than two things.
    """
    if file is None:
        return class_vectors(model, WORDS, language="en")
    if file.suffix.lower() == CLASS_FILE:
        described = read_class_file(file)
        return class_vectors(
            model,
            described.sentences(language),
            templates=described.templates_in(language),
            language=language,
        )
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text: {error}") from None
    sentences = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return class_vectors(model, sentences, templates=("{}",))
