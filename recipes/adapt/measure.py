"""What the methods of `wordsight adapt` gain on new classes, and what they forget of the old ones.

python recipes/adapt/measure.py --model run/model --target cifar10 --keep tiny_imagenet --out work

Every method learns from the same pictures of the target. Adaptations that are finished are not
repeated, and one that was stopped goes on: run the same command again. The table goes to stdout.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import wordsight as ws
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.metrics import Estimate
from wordsight.training.adaptation.order import spread

METHODS: dict[str, dict[str, Any]] = {
    "few-shot": {},
    "prompts": {"learning_rate": 2e-3},
    "singular-values": {"learning_rate": 3e-3},
    "lora": {"learning_rate": 2e-3},
    "flyp": {"learning_rate": 3e-4},
    "lp-ft": {"learning_rate": 3e-4},
    "full": {"learning_rate": 3e-4},
    "wise": {"learning_rate": 3e-4, "mixtures": [0.0, 0.25, 0.5, 0.75, 1.0]},
}
"""Step sizes are those of a small model that learnt from ten thousand pictures."""
CHOICES = 400
"""Pictures of the kept set that the choice of a mixture looks at."""


def parts(source: str, *, learnt: int, measured: int) -> LabelledPictures:
    """Open a set, and keep so many pictures of each part."""
    whole = read_labelled(source)
    some = [spread(whole.part("train"), learnt), spread(whole.part("test"), measured)]
    keys = {key for part in some for key in part.keys}
    kept = whole.subset(place for place, key in enumerate(whole.keys) if key in keys)
    return replace(kept, name=Path(source).name)


def adapted(method: str, settings: Mapping[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Return what an adaptation measured; do it first if it is not there."""
    out = given.out / method
    results = out / "run" / "results.json"
    if not results.exists():
        ws.adapt(
            parts(given.target, learnt=given.pictures, measured=given.measured),
            keep=[parts(given.keep, learnt=CHOICES, measured=given.measured)],
            out=out,
            model=given.model,
            method=method,
            epochs=given.epochs,
            checkpoint_every=5,
            **settings,
        )
    return json.loads(results.read_text())


def row(name: str, scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line of the table."""
    cells = [str(Estimate(**dict(score))) for score in scores.values()]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run all methods, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--keep", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--measured", type=int, default=1000)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    given = parser.parse_args()
    lines: list[str] = []
    for method in given.methods:
        found = adapted(method, METHODS[method], given)
        if not lines:
            names = " | ".join(found["after"])
            lines += [f"| method | {names} |", "|---|---|---|", row("before", found["before"])]
        share = f", {found['share']:.0%} tuned" if "share" in found else ""
        lines.append(row(f"{method}{share}", found["after"]))
        lines += [row(f"{method}: {point['share']:.0%}", point["test"]) for point in found["curve"]]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
