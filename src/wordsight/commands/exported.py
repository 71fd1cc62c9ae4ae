"""What an export leaves behind: the bundle, and the record of how it was compared with torch."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from wordsight.bundle import Bundle, write_bundle
from wordsight.bundle.golden import Golden
from wordsight.bundle.store import CARD, PROMPTS, TOKENIZER, WEIGHTS
from wordsight.commands.lowering import Lowered
from wordsight.engine.checkpoint import CheckpointSource
from wordsight.engine.parity import Limit, Parity, markdown
from wordsight.engine.settings import EngineSettings

Precision = Literal["float32", "float16", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bfloat16", "int8")
Stored = Literal["float32", "float16", "int8"]

LIMITS: Mapping[Stored, Limit] = {
    "float32": Limit(difference=1e-4, cosine=0.99999),
    "float16": Limit(difference=1e-2, cosine=0.999),
    "int8": Limit(difference=1e-1, cosine=0.98),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """How a model was exported, and how closely each engine says what torch says."""

    path: Path
    precision: Precision
    """What was reached."""
    opset: int
    pictures: str
    """What was compared on: "drawn", or a folder."""
    parity: tuple[Parity, ...]
    lowered: Lowered | None = None
    """How a lower precision was judged, if one was asked for."""

    @property
    def settings(self) -> EngineSettings:
        """How the towers are to be run."""
        is_lower = self.lowered is not None and self.lowered.is_taken
        return EngineSettings(precision="bfloat16" if is_lower else "float32")

    @property
    def _limit(self) -> Limit:
        """What the graphs were compared with torch by, before they were made faster."""
        if self.lowered is not None or self.precision == "bfloat16":
            return LIMITS["float32"]
        return LIMITS[self.precision]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; run/parity.json holds the same."""
        limit = self._limit
        return {
            "precision": self.precision,
            "opset": self.opset,
            "reference": "torch float32",
            "pictures": self.pictures,
            "limits": {"largest_difference": limit.difference, "smallest_cosine": limit.cosine},
            "engines": [one.to_json() for one in self.parity],
            "lower": self.lowered.to_json() if self.lowered else None,
        }

    def report(self) -> str:
        """Return run/parity.md."""
        limit = self._limit
        parts = [f"Exported to ONNX, opset {self.opset}, {self.precision}.\n"]
        if self.parity:
            parts += [
                f"Unit vectors were compared with torch's in float32; pictures: {self.pictures}. "
                f"Allowed were a difference of {limit.difference:.0e} and a cosine of "
                f"{limit.cosine}.\n",
                markdown(self.parity),
            ]
        if self.lowered:
            parts.append(self.lowered.report())
        return "\n".join(parts)


def write_exported(
    source: Bundle | CheckpointSource,
    graphs: Mapping[str, Path],
    exported: Exported,
    *,
    with_weights: bool,
    golden: Golden,
) -> Bundle:
    """Write the bundle in one step; the files of `graphs` are moved into it.

    Raises:
        BundleError: if the place is a folder that is not a bundle.
    """
    record, config = exported.to_json(), source.config
    config = replace(
        config,
        architecture=config.architecture if with_weights else {},
        precision=exported.settings.precision or "float32",
        provenance={**config.provenance, "exported": record},
    )
    files: dict[str, bytes | Callable[[Path], None]] = {
        TOKENIZER: source.tokenizer().to_bytes(),
        CARD: f"{_card(source)}\n\n{exported.report()}".encode(),
        **{name: partial(_move, path) for name, path in graphs.items()},
        **golden.files(),
    }
    if isinstance(source, Bundle) and source.has(PROMPTS):
        files[PROMPTS] = (source.path / PROMPTS).read_bytes()
    if with_weights:
        files[WEIGHTS] = partial(_write_weights, source)
    run = {"parity.json": json.dumps(record, indent=2) + "\n", "parity.md": exported.report()}
    return write_bundle(exported.path, config, files, run=run)


def _card(source: Bundle | CheckpointSource) -> str:
    if isinstance(source, Bundle):
        is_there = source.has(CARD)
        text = (source.path / CARD).read_text("utf-8") if is_there else f"# {source.config.name}"
        return text.rstrip()
    checkpoint = source.checkpoint
    notes = "\n".join(f"- {note}" for note in checkpoint.notes)
    return (
        f"# {checkpoint.name}\n\nMade from a checkpoint of the format `{checkpoint.format}`. What "
        f"was found in it:\n\n{notes}\n\nLicence: {checkpoint.licence or 'not stated there'}. "
        "See the card of the original for data, results and limits."
    )


def _move(source: Path, target: Path) -> None:
    shutil.move(source, target)


def _write_weights(source: Bundle | CheckpointSource, path: Path) -> None:
    if isinstance(source, Bundle):
        shutil.copyfile(source.path / WEIGHTS, path)
        return
    from wordsight.checkpoints.safetensors_file import write_safetensors

    write_safetensors(path, source.checkpoint.weights)
