"""What a checkpoint is: read from its files, without running anything in it or with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.bundle import Bundle, open_bundle
from wordsight.commands.description import (
    image_in_words,
    nearest_model,
    preprocessing_in_words,
    text_in_words,
)
from wordsight.commands.doctor import Report, Row
from wordsight.config import to_dict
from wordsight.engine.loading import is_bundle, locate
from wordsight.errors import CheckpointError
from wordsight.model.architecture import describe
from wordsight.model.size import measure
from wordsight.packages import is_installed, require

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Checkpoint, Overrides
    from wordsight.checkpoints.tensors import LazyTensor

MEGABYTE = 1e6
MOST_NAMED = 4
ROWS = {"context_length": "context", "vocab_size": "tokenizer"}
"""What lines for people call the numbers of the text tower."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointReport(Report):
    """What a checkpoint is, as lines for people and as values for programs."""

    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            **self.details,
            "rows": [to_dict(r) for r in self.rows],
            "num_broken": self.num_broken,
        }


def examine_checkpoint(
    model: str | Path, *, overrides: "Overrides | None" = None
) -> CheckpointReport:
    """Say what a checkpoint or bundle is; every number is read once, to find those that are none.

    Raises:
        CheckpointError: if it is damaged, hostile, or of no known kind.
        BundleError: if it is a damaged bundle.
        InputError: if there is no such file or folder.
        MissingError: if torch is not installed, and it is more than a bundle of graphs.
    """
    path = locate(model)
    bundle = open_bundle(path) if is_bundle(path) else None
    if bundle and not (bundle.has_weights and is_installed("torch")):
        return _of_bundle(bundle)
    require("torch", extra="torch")
    from wordsight.checkpoints.checkpoint import Overrides
    from wordsight.checkpoints.opening import open_checkpoint

    try:
        return _of_checkpoint(open_checkpoint(path, overrides or Overrides()))
    except CheckpointError as error:
        if bundle is None:
            raise
        return _of_bundle(bundle, str(error))  # whole, but not of the CLIP family


def _of_bundle(bundle: Bundle, *notes: str) -> CheckpointReport:
    """Report on a bundle whose towers only its graphs, or its own modules, know."""
    config, classifier = bundle.config, bundle.classifier()
    names = () if classifier is None else classifier.words.names
    text: dict[str, int] = {}
    if bundle.has_text:
        text["context_length"] = config.tokenizer.context_length
        text["vocab_size"] = bundle.tokenizer().vocabulary_size
    sizes = {name: (bundle.path / name).stat().st_size for name in bundle.files}
    similarity = f"{config.similarity.scale:.4g} * cosine + {config.similarity.bias:.4g}"
    rows = (
        _ok("model", "name", config.name),
        _ok("model", "format", f"bundle of {', '.join(sorted(bundle.files))}"),
        _ok("model", "embedding", f"{config.embed_dim} wide, similarity {similarity}"),
        _ok("model", "preprocessing", preprocessing_in_words(config.preprocessing)),
        _ok("weights", "size", f"{sum(sizes.values()) / MEGABYTE:.1f} MB, every checksum right"),
        *(_ok("text", ROWS[name], f"{value} tokens") for name, value in text.items()),
        *([_ok("classes", "own", _named(names))] if names else ()),
        *(_ok("notes", str(number), note) for number, note in enumerate(notes, 1)),
    )
    details = {
        "path": str(bundle.path),
        "format": "bundle",
        "name": config.name,
        "embed_dim": config.embed_dim,
        "num_bytes": sum(sizes.values()),
        **text,
        "classes": list(names),
        "preprocessing": to_dict(config.preprocessing),
        "has_tokenizer": bundle.has_text,
        "notes": list(notes),
    }
    return CheckpointReport(rows=rows, details=details)


def _named(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_NAMED else ""
    return f"{len(names)} classes: {', '.join(names[:MOST_NAMED])}{more}"


def _of_checkpoint(found: "Checkpoint") -> CheckpointReport:
    config = found.architecture
    types = Counter(_type_name(tensor) for tensor in found.weights.values())
    num_bytes = sum(tensor.num_bytes for tensor in found.weights.values())
    parameters = measure(config).num_parameters
    near = nearest_model(config)
    size = f"{num_bytes / MEGABYTE:.1f} MB in {len(found.weights)} tensors"
    shares = ", ".join(f"{count} {name}" for name, count in types.most_common())
    rows = (
        _ok("model", "name", found.name),
        _ok("model", "format", found.format),
        _ok("model", "image", image_in_words(config)),
        _ok("model", "text", text_in_words(config)),
        _ok("model", "embedding", f"{config.embed_dim} wide, {parameters:,} parameters"),
        _ok("model", "nearest", near),
        _preprocessing_row(found),
        _ok("weights", "size", f"{size}: {shares}"),
        _finite_row(found),
        _ok("text", "context", f"{config.text.context_length} tokens"),
        _tokenizer_row(found),
        *(_ok("notes", str(number), note) for number, note in enumerate(found.notes, 1)),
    )
    details = {
        "path": str(found.path),
        "format": found.format,
        "name": found.name,
        "image": describe(config.image),
        "text": describe(config.text),
        "embed_dim": config.embed_dim,
        "num_parameters": parameters,
        "num_bytes": num_bytes,
        "tensor_types": dict(types),
        "context_length": config.text.context_length,
        "vocab_size": config.text.vocab_size,
        "preprocessing": to_dict(found.preprocessing),
        "has_tokenizer": found.tokenizer is not None,
        "nearest": near,
        "licence": found.licence,
        "notes": list(found.notes),
    }
    return CheckpointReport(rows=rows, details=details)


def _ok(section: str, name: str, value: str) -> Row:
    return Row(section=section, name=name, state="ok", value=value)


def _preprocessing_row(found: "Checkpoint") -> Row:
    recipe, size = found.preprocessing, found.architecture.image.image_size
    value = preprocessing_in_words(recipe)
    if recipe.size == size:
        return _ok("model", "preprocessing", value)
    return Row(
        section="model",
        name="preprocessing",
        state="broken",
        value=f"{value}: but the tower takes {size} px",
        advice="put the size right in the checkpoint's preprocessing file",
    )


def _finite_row(found: "Checkpoint") -> Row:
    """Read every number, one tensor at a time."""
    torch = require("torch", extra="torch")
    damaged = [
        name
        for name, tensor in found.weights.items()
        if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor.read()).all())
    ]
    if not damaged:
        return _ok("weights", "numbers", "all finite")
    shown = ", ".join(damaged[:MOST_NAMED])
    return Row(
        section="weights",
        name="numbers",
        state="broken",
        value=f"not finite in {len(damaged)} layers: {shown}",
        advice="copy or download the file again; if it stays so, the model was saved broken",
    )


def _tokenizer_row(found: "Checkpoint") -> Row:
    rows = found.architecture.text.vocab_size
    if found.tokenizer is None:
        return Row(
            section="text",
            name="tokenizer",
            state="missing",
            value=f"no vocabulary beside the weights; the model knows {rows} tokens",
            advice="put its tokenizer.json beside the weights, or give one with --tokenizer",
        )
    size, rules = found.tokenizer.vocabulary_size, found.tokenizer.rules
    value = f"{size} tokens, cleaning {rules.cleaning}"
    if size <= rows:
        return _ok("text", "tokenizer", value)
    return Row(
        section="text",
        name="tokenizer",
        state="broken",
        value=f"{value}: but the model knows {rows} only",
        advice="the vocabulary is of another model: give the right one with --tokenizer",
    )


def _type_name(tensor: "LazyTensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")
