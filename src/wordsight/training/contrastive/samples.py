"""What the towers say of some pictures they did not learn from, for people to look at.

run/
  samples.json        each picture with its own sentences and those ranked highest
  samples/0.jpg ...   the pictures, small; photographs of people's places carry no metadata
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wordsight.data.examples import Example, Examples, Part
from wordsight.data.positives import sentence_key
from wordsight.errors import InputError
from wordsight.files import write_bytes, write_text
from wordsight.images import open_image
from wordsight.images.thumbnail import jpeg
from wordsight.model.clip import Clip
from wordsight.training.contrastive.evaluation import Judge

SAMPLES = "samples.json"
NUM_PICTURES = 8
NUM_BEST = 5
MOST_CANDIDATES = 2000
"""Held-out examples whose sentences are ranked at most; people look at a few."""
SIDE = 420


def write_samples(run: Path, clip: Clip, judge: Judge, held_out: Examples) -> None:
    """Rank the held-out sentences for a few held-out pictures, spread evenly over all.

    The model comes back in the mode it was in.
    """
    was_training = clip.training
    clip.eval()
    with torch.inference_mode():
        cards = _cards(run, clip, judge, Part(held_out, range(min(len(held_out), MOST_CANDIDATES))))
    clip.train(was_training)
    write_text(run / SAMPLES, json.dumps(cards, indent=1, ensure_ascii=False) + "\n")


def _cards(run: Path, clip: Clip, judge: Judge, held_out: Examples) -> list[dict[str, Any]]:
    spread = np.linspace(0, len(held_out) - 1, min(NUM_PICTURES, len(held_out))).astype(int)
    try:
        images, kept = judge.images(clip, Part(held_out, spread.tolist()))
    except InputError:  # none of the few can be read: a finished run must not end for that
        return []
    spelling: dict[str, str] = {}
    for index in range(len(held_out)):
        for text in held_out[index].texts:
            spelling.setdefault(sentence_key(text), text)
    ranked = list(spelling.items())
    scores = images @ judge.texts(clip, list(spelling.values())).T
    cards: list[dict[str, Any]] = []
    for number, place in enumerate(kept):
        example = held_out[int(spread[place])]
        best = np.argsort(-scores[number], kind="stable")[:NUM_BEST].tolist()
        own = {sentence_key(text) for text in example.texts}
        cards.append(
            {
                "image": _picture(run, number, example),
                "name": example.key,
                "truth": list(example.texts),
                "best": [
                    {
                        "text": ranked[i][1],
                        "score": round(float(scores[number, i]), 4),
                        "is_match": ranked[i][0] in own,
                    }
                    for i in best
                ],
            }
        )
    return cards


def _picture(run: Path, number: int, example: Example) -> str:
    name = f"samples/{number}.jpg"
    (run / "samples").mkdir(exist_ok=True)
    write_bytes(run / name, jpeg(open_image(example.image), max_side=SIDE))
    return name
