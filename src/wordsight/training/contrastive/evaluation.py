"""How good the towers are, on examples they do not learn from.

Shape letters: N pictures, M sentences, K classes, E joint space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.data.examples import Examples
from wordsight.data.positives import sentence_key
from wordsight.errors import InputError
from wordsight.images import Preprocessing, prepare_batch
from wordsight.metrics import Estimate, accuracy, recall_at_k
from wordsight.model.clip import Clip
from wordsight.model.outputs import EMBEDDING
from wordsight.text import Tokenizer
from wordsight.text.templates import fill
from wordsight.transfer.class_vectors import unit_rows

RECALL_AT = (1, 5)
BATCH = 128


@dataclass(frozen=True, slots=True)
class Judge:
    """Embeds examples with towers that are being learnt."""

    tokenizer: Tokenizer
    recipe: Preprocessing
    device: torch.device

    def images(self, clip: Clip, examples: Examples) -> tuple[NDArray[np.float32], list[int]]:
        """Return unit vectors (N, E) of the pictures that can be read, and their places."""
        rows: list[NDArray[np.float32]] = []
        kept: list[int] = []
        for start in range(0, len(examples), BATCH):
            places = range(start, min(start + BATCH, len(examples)))
            batch = prepare_batch([examples[i].image for i in places], self.recipe)
            if batch.indices:
                pixels = torch.as_tensor(batch.pixels).to(self.device)
                rows.append(clip.image(pixels)[EMBEDDING].cpu().numpy())
                kept += [start + i for i in batch.indices]
        if not rows:
            raise InputError("none of the pictures to measure on can be read")
        return np.concatenate(rows), kept

    def texts(self, clip: Clip, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (M, E) of sentences."""
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(sentences), BATCH):
            ids = torch.as_tensor(self.tokenizer.encode(sentences[start : start + BATCH]).ids)
            rows.append(clip.text(ids.to(self.device))[EMBEDDING].cpu().numpy())
        return np.concatenate(rows)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Vectors of examples, and which belong together."""

    images: NDArray[np.float32]
    """(N, E) unit vectors of the pictures that can be read."""
    texts: NDArray[np.float32]
    """(M, E) unit vectors of their different sentences."""
    of_image: list[NDArray[np.int64]]
    """Sentences of each picture."""
    of_text: list[list[int]]
    """Pictures of each sentence."""


def embed(clip: Clip, judge: Judge, examples: Examples) -> HeldOut:
    """Embed the pictures and the different sentences of some examples."""
    images, kept = judge.images(clip, examples)
    spelling: dict[str, str] = {}
    said = [[sentence_key(text) for text in examples[i].texts] for i in kept]
    for i in kept:
        for text in examples[i].texts:
            spelling.setdefault(sentence_key(text), text)
    column = {key: place for place, key in enumerate(spelling)}
    texts = judge.texts(clip, list(spelling.values()))
    of_image = [np.array([column[key] for key in keys]) for keys in said]
    of_text: list[list[int]] = [[] for _ in spelling]
    for row, keys in enumerate(said):
        for key in keys:
            of_text[column[key]].append(row)
    return HeldOut(images, texts, of_image, of_text)


def retrieval(held_out: HeldOut) -> dict[str, Estimate]:
    """Return recall both ways between pictures and sentences.

    k that the number of answers makes trivial is left out.
    """
    images, texts = held_out.images, held_out.texts
    found: dict[str, Estimate] = {}
    for k in RECALL_AT:
        if k < len(texts):
            found[f"image_to_text_r{k}"] = recall_at_k((images, texts), held_out.of_image, k)
        if k < len(images):
            found[f"text_to_image_r{k}"] = recall_at_k((texts, images), held_out.of_text, k)
    return found


def zero_shot(
    clip: Clip, judge: Judge, examples: Examples, templates: Sequence[str]
) -> dict[str, Estimate]:
    """Return the accuracy on examples whose first sentence is the name of their class."""
    images, kept = judge.images(clip, examples)
    truth = [examples[i].texts[0] for i in kept]
    names = sorted(set(truth))
    if len(names) < 2:
        raise InputError(f"all pictures to measure on are of one class, {names[0]!r}")
    sentences = [fill(template, name) for name in names for template in templates]
    rows = judge.texts(clip, sentences).reshape(len(names), len(templates), -1)
    classes = unit_rows(rows.mean(axis=1))
    best: list[int] = (images @ classes.T).argmax(axis=1).tolist()
    guesses = [names[i] for i in best]
    return {"accuracy": accuracy(guesses, truth)}


def evaluate(
    clip: Clip,
    judge: Judge,
    *,
    held_out: Examples,
    labelled: Mapping[str, Examples],
    templates: Sequence[str],
    on_held_out: Callable[[HeldOut], None] = lambda _: None,
) -> dict[str, Estimate]:
    """Measure retrieval on the held-out part, and zero-shot accuracy on every labelled set.

    `on_held_out` is called with the vectors of the held-out part, if there is one.

    The model comes back in the mode it was in.
    """
    was_training = clip.training
    clip.eval()
    with torch.inference_mode():
        found: dict[str, Estimate] = {}
        if len(held_out):
            vectors = embed(clip, judge, held_out)
            found |= retrieval(vectors)
            on_held_out(vectors)
        for name, examples in labelled.items():
            for measure, value in zero_shot(clip, judge, examples, templates).items():
                found[f"{name}_{measure}"] = value
    clip.train(was_training)
    return found
