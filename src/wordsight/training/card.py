"""The model card of an aligned model: what it was made from, how good it is, what it cannot do."""

from collections.abc import Mapping
from typing import Any

from wordsight.metrics import Estimate
from wordsight.training.towers import FrozenImageTower, FrozenTextTower


def model_card(
    name: str, image: FrozenImageTower, text: FrozenTextTower, results: Mapping[str, Any]
) -> str:
    """Return README.md of a bundle; every number has its n and 95 % interval."""
    pairs = results["pairs"]
    rows = "\n".join(
        f"| {score['name']} | {_shown(score.get('before'))} | {_shown(score['after'])} |"
        for score in results["scores"]
    )
    notes = "\n".join(f"- {finding['level']}: {finding['text']}" for finding in results["findings"])
    return f"""# {name}

A space of pictures and sentences, made by `wordsight align` between two frozen towers.

- image tower: {image.name} ({image.licence}), {image.preprocessing.size} px
- text tower: {text.name} ({text.licence})
- data: {pairs["pictures"]} pictures, {pairs["sentences"]} different sentences,
  {pairs["held_out"]} pairs held out

## Measured on the held-out pictures (95 % intervals)

| measure | before | after |
|---|---|---|
{rows}

## Checks

{notes}

## Limits

It was measured on pictures like those it learnt from. Measure again on your own before it decides
anything that matters, and after anything in the set-up (light, camera, supplier) changes.
"""


def _shown(estimate: Mapping[str, Any] | None) -> str:
    return str(Estimate(**estimate)) if estimate else "-"
