"""The bundle that a compression leaves: the student, what belongs to its parent, and a card."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from wordsight.bundle import Bundle, BundleConfig, write_bundle
from wordsight.bundle.classifier import NUMBERS_FILE, WORDS_FILE
from wordsight.bundle.prompts import Prompts
from wordsight.bundle.store import CARD, IMAGE_GRAPH, PROMPTS, TEXT_GRAPH, TOKENIZER, WEIGHTS
from wordsight.config import to_dict
from wordsight.images import Preprocessing
from wordsight.model.clip import ProjectedTower
from wordsight.model.two_tower import describe, save_towers
from wordsight.training.assemble import prompts_toml
from wordsight.training.compression.config import CompressConfig
from wordsight.training.compression.graphs import write_text_graph
from wordsight.training.compression.measuring import Comparison, Tower
from wordsight.training.compression.parent import Parent

RESULTS = "results.json"
SETTINGS = "config.json"
Content = bytes | Callable[[Path], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was made, and what was measured of it."""

    parent: str
    student: str
    """In words: the architecture, or what was kept of the parent."""
    pictures: str
    """Where they came from."""
    learnt_from: int
    num_repeated: int
    unreadable: tuple[str, ...]
    num_sentences: int
    """That decisions were compared on."""
    has_own_sentences: bool
    """Whether the user gave them."""
    steps: int
    pruned: Comparison | None
    """Before anything was learnt, where the parent was pruned."""
    learnt: Comparison
    towers: Mapping[str, Tower]
    """`parent` and `student`."""

    @property
    def speed_ratio(self) -> float:
        """How many times as many pictures a second."""
        return self.towers["student"].pictures_per_s / self.towers["parent"].pictures_per_s

    def to_json(self) -> str:
        """Return the text of run/results.json."""
        values = {**to_dict(self), "speed_ratio": self.speed_ratio}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Compressed:
    """A finished compression."""

    bundle: Bundle
    outcome: Outcome


def write_student(
    out: Path,
    parent: Parent,
    student: ProjectedTower,
    preprocessing: Preprocessing,
    outcome: Outcome,
    *,
    graph: Path,
    config: CompressConfig,
) -> Bundle:
    """Write the bundle in one step; all but the image tower is the parent's.

    Args:
        graph: the student as ONNX; is copied.

    Raises:
        BundleError: if `out` is a folder that is not a bundle.
    """
    files: dict[str, Content] = {
        IMAGE_GRAPH: partial(_copy, graph),
        TEXT_GRAPH: _text(parent),
        TOKENIZER: parent.model.source.tokenizer().to_bytes(),
        **_belongings(parent),
    }
    architecture = _architecture(parent, student)
    if architecture:
        files[WEIGHTS] = save_towers(student, parent.text)
    bundle = _config(out, parent, preprocessing, architecture, config)
    licence = str(bundle.provenance.get("licence", ""))
    files[CARD] = card(bundle.name, outcome, licence=licence, config=config).encode()
    shown = replace(config, student=Path(config.student).name)  # no folder of this machine
    settings = json.dumps(to_dict(shown), indent=1) + "\n"
    return write_bundle(out, bundle, files, run={RESULTS: outcome.to_json(), SETTINGS: settings})


def _config(
    out: Path,
    parent: Parent,
    preprocessing: Preprocessing,
    architecture: dict[str, Any],
    config: CompressConfig,
) -> BundleConfig:
    source = parent.model.source.config
    made = {
        "made_by": "wordsight compress",
        "started_from": parent.model.name,
        "parent": parent.checksum,
        "student": Path(config.student).name
        or f"keep {config.keep}, keep_layers {config.keep_layers}",
        "seed": config.seed,
    }
    return replace(
        source,
        name=out.resolve().name,
        preprocessing=preprocessing,
        architecture=architecture,
        class_names=(),
        precision="float32",
        provenance={**source.provenance, **made},
    )


def _architecture(parent: Parent, student: ProjectedTower) -> dict[str, Any]:
    """Return what config.json says of the towers; empty if torch cannot have both."""
    if parent.text is None:
        return {}
    image, text = describe(student.tower), describe(parent.text.tower)
    return {"image": image, "text": text} if image and text else {}


def _text(parent: Parent) -> Content:
    bundle = parent.bundle
    if bundle is not None and bundle.has(TEXT_GRAPH):
        return partial(_copy, bundle.path / TEXT_GRAPH)
    config = parent.model.source.config
    return lambda path: write_text_graph(parent.text, path, config)


def _belongings(parent: Parent) -> dict[str, Content]:
    """Return templates and classifier; what was learnt on the parent's vectors fits the student."""
    bundle = parent.bundle
    if bundle is not None:
        names = (PROMPTS, WORDS_FILE, NUMBERS_FILE)
        return {name: partial(_copy, bundle.path / name) for name in names if bundle.has(name)}
    prompts = parent.model.source.prompts()
    if prompts == Prompts():
        return {}
    return {PROMPTS: prompts_toml(dict(prompts.templates)).encode()}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def table(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return what stands in the table: a name (key of the phrases), the parent's, the student's."""
    parent, student = outcome.towers["parent"], outcome.towers["student"]
    found = [
        ("agreement", "100 %", str(outcome.learnt.agreement)),
        ("cosine", "1", _mean(outcome.learnt)),
        ("smallest", "1", f"{outcome.learnt.smallest_cosine:.3f}"),
        ("parameters", f"{parent.parameters:,}", f"{student.parameters:,}"),
        ("megabytes", f"{parent.num_bytes / 1e6:.1f}", f"{student.num_bytes / 1e6:.1f}"),
        ("pixels", str(parent.image_size), str(student.image_size)),
        (
            "speed",
            f"{parent.pictures_per_s:,.0f}",
            f"{student.pictures_per_s:,.0f} (x {outcome.speed_ratio:.1f})",
        ),
    ]
    if outcome.pruned is not None:
        found.insert(1, ("pruned", "100 %", str(outcome.pruned.agreement)))
        found.insert(3, ("pruned_cosine", "1", _mean(outcome.pruned)))
    return found


def _mean(comparison: Comparison) -> str:
    mean = comparison.mean_cosine
    return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}, n={mean.n})"


ROWS = {
    "agreement": "same sentence fits best",
    "pruned": "the same, pruned and not yet taught",
    "cosine": "mean cosine with the parent",
    "pruned_cosine": "the same, pruned and not yet taught",
    "smallest": "smallest cosine with the parent",
    "parameters": "parameters of the image tower",
    "megabytes": "image tower, MB",
    "pixels": "side of the picture, pixels",
    "speed": "prepared pictures a second",
}


def card(name: str, outcome: Outcome, *, licence: str, config: CompressConfig) -> str:
    """Return README.md of the bundle; every number has its n and 95 % interval."""
    lines = "\n".join(f"| {ROWS[key]} | {was} | {now} |" for key, was, now in table(outcome))
    front = f"---\nlicense: {licence}\n---\n" if re.fullmatch(r"[\w.+-]+", licence) else ""
    own = "of its user" if outcome.has_own_sentences else "that are everyday words"
    engines = {side: tower.engine for side, tower in outcome.towers.items()}
    sums = f"{config.features:g}, {config.similarities:g}, {config.decisions:g}"
    return f"""{front}# {name}

Made by `wordsight compress` from {outcome.parent}: a smaller image tower, taught on pictures
without labels to say what its parent says. Text tower, tokenizer, scale and templates are the
parent's.

- student: {outcome.student}
- learnt from {outcome.learnt_from} pictures in {outcome.steps} steps, seed {config.seed}
- weights of features, similarities and decisions: {sums}
- licence of the parent: {licence or "not stated"}

## Against its parent, on pictures that it did not learn from (95 % intervals)

| | parent | student |
|---|---|---|
{lines}

Decisions are among {outcome.num_sentences} sentences {own}. Speed is that of the tower on the
machine that made it, in batches of 16, parent on {engines["parent"]} and student on
{engines["student"]}; reading the pictures comes on top.

## Limits

The student follows its parent on pictures like those it learnt from, mistakes included. On other
pictures it loses more than the table says. Measure it on pictures of yours with known answers
(`wordsight evaluate`) before it decides anything that matters. Thresholds and probabilities that
were set with the parent have to be set again.
"""
