"""The bundle that an adaptation leaves: the model, its classifier, a card with the scores."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordsight.bundle import Bundle, BundleConfig, write_bundle
from wordsight.bundle.classifier import NUMBERS_FILE, WORDS_FILE, BundleClassifier
from wordsight.bundle.store import CARD, CONFIG
from wordsight.config import to_dict
from wordsight.metrics import Estimate
from wordsight.training.adaptation.order import Order

Content = bytes | Callable[[Path], None]
RESULTS = "results.json"


def run_folder(out: Path) -> Path:
    """Return the folder beside a bundle that is locked while it is made, and holds its run."""
    return out.parent / f"{out.name}.run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was measured, and of what."""

    method: str
    algorithm: str = ""
    """What the method settled on, such as the few-shot method that auto chose."""
    target: str
    """Name of the set that was learnt from; what else was measured must not suffer."""
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    learnt_from: int
    """Pictures learnt from."""
    chosen_on: int
    """Pictures that choices were made on."""
    steps: int = 0
    share: float | None = None
    """Of the tuned model in the mixture that was chosen (wise)."""
    curve: tuple[dict[str, Any], ...] = ()
    """Every mixture that was tried, with its scores (wise)."""

    def to_json(self) -> str:
        """Return the text of run/results.json."""
        return json.dumps(to_dict(self), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Adapted:
    """A finished adaptation."""

    bundle: Bundle
    outcome: Outcome
    adapter: Path | None = None
    """File of what LoRA learnt, by itself."""


def made_by(order: Order, *, started_from: str, data: str) -> dict[str, Any]:
    """Return what the provenance of a bundle says of an adaptation."""
    return {
        "made_by": "wordsight adapt",
        "started_from": started_from,
        "method": order.config.method,
        "data": data,
        "seed": order.config.seed,
    }


def card(title: str, start: str, outcome: Outcome, licence: str = "") -> str:
    """Return README.md of the bundle; every number has its n and 95 % interval."""
    rows = "\n".join(
        f"| {name} | {outcome.before[name]} | {value} |" for name, value in outcome.after.items()
    )
    how = outcome.method + (f" ({outcome.algorithm})" if outcome.algorithm else "")
    mixture = (
        ""
        if outcome.share is None
        else f"- {outcome.share:.0%} of the tuned weights, the rest of the model it started from\n"
    )
    choices = f"; choices were made on {outcome.chosen_on} others" if outcome.chosen_on else ""
    is_name = re.fullmatch(r"[\w.+-]+", licence)
    front = f"---\nlicense: {licence}\n---\n" if is_name else ""
    said = f"- licence of what it started from: {licence}\n" if licence and not is_name else ""
    return f"""{front}# {title}

Made by `wordsight adapt` from {start}.

- method: {how}
- learnt from {outcome.learnt_from} pictures{choices}
{mixture}{said}
## Measured on pictures that nothing was learnt from or chosen on (95 % intervals)

| set | before | after |
|---|---|---|
{rows}

## Limits

It was measured on pictures like those it learnt from. Measure again on your own before it decides
anything that matters, and after anything in the set-up (light, camera, supplier) changes.
"""


def write_adapted(
    out: Path,
    config: BundleConfig,
    files: Mapping[str, Content],
    outcome: Outcome,
    *,
    classifier: BundleClassifier | None,
    run: Mapping[str, str],
) -> Bundle:
    """Write the bundle in one step, with card, classifier and results.

    Args:
        out: folder to make; a bundle that stands there is replaced.
        config: of the bundle; its provenance says where the model is from.
        files: the towers and what belongs to them.
        outcome: what was measured.
        classifier: what was learnt for the target; None after learning from sentences.
        run: further text files of `run/`.

    Raises:
        BundleError: if `out` is a folder that is not a bundle.
    """
    licence = str(config.provenance.get("licence", ""))
    start = str(config.provenance.get("started_from", ""))
    content: dict[str, Content] = dict(files)
    content[CARD] = card(config.name, start, outcome, licence).encode()
    if classifier is not None:
        content |= classifier.files()
    return write_bundle(out, config, content, run={RESULTS: outcome.to_json(), **run})


def copied(
    bundle: Bundle, *, name: str, provenance: Mapping[str, Any]
) -> tuple[BundleConfig, dict[str, Content]]:
    """Return config and files of a bundle under another name; large ones are copied on writing."""
    whole = {**bundle.config.provenance, **provenance}
    config = dataclasses.replace(bundle.config, name=name, provenance=whole)
    left_out = (CONFIG, CARD, NUMBERS_FILE, WORDS_FILE)
    files: dict[str, Content] = {
        file: _copier(bundle.path / file) for file in bundle.files if file not in left_out
    }
    return config, files


def _copier(source: Path) -> Callable[[Path], None]:
    def copy(path: Path) -> None:
        shutil.copyfile(source, path)

    return copy
