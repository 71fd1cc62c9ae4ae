"""The pictures and class names that every point of every curve is measured on.

Shape letters: N pictures, K classes, S side of a picture, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wordsight.data.examples import Examples
from wordsight.data.order import epoch_order
from wordsight.errors import InputError
from wordsight.images import Preprocessing, prepare_batch
from wordsight.metrics import Estimate, accuracy
from wordsight.text import Tokenizer
from wordsight.text.templates import fill
from wordsight.training.study.models import Learner

BATCH = 128


@dataclass(frozen=True, slots=True)
class Exam:
    """Pictures, what each is of, and the sentence of every class."""

    pixels: Tensor
    """(N, 3, S, S)"""
    truth: Sequence[int]
    """Class of every picture."""
    names: Sequence[str]
    tokens: Tensor
    """(K, L)"""

    def take(self, learner: Learner) -> Estimate:
        """Return the share of pictures whose class scores highest; the model keeps its mode."""
        was_training = learner.training
        learner.eval()
        device = next(learner.parameters()).device
        guesses: list[int] = []
        with torch.inference_mode():
            tokens = self.tokens.to(device)
            for start in range(0, len(self.truth), BATCH):
                pixels = self.pixels[start : start + BATCH].to(device)
                guesses += map(int, learner.scores(pixels, tokens).argmax(dim=1))
        learner.train(was_training)
        return accuracy(guesses, self.truth)


def read_exam(
    labelled: Examples,
    tokenizer: Tokenizer,
    recipe: Preprocessing,
    *,
    sentence: str,
    limit: int,
    seed: int,
) -> Exam:
    """Read labelled pictures, whose first sentence is the name of their class.

    Of more than `limit` some are drawn, the same ones for a seed; the names are those of all.

    Raises:
        InputError: if they are of fewer than two classes, or one cannot be read.
    """
    names = sorted({labelled[index].texts[0] for index in range(len(labelled))})
    if len(names) < 2:
        raise InputError(f"the pictures to measure on are of {len(names)} classes, expected 2")
    places = sorted(epoch_order(len(labelled), seed=seed, epoch=0)[:limit].tolist())
    shown = [labelled[place] for place in places]
    batch = prepare_batch([example.image for example in shown], recipe)
    if len(batch.indices) < len(shown):
        missing = sorted(set(range(len(shown))) - set(batch.indices))
        raise InputError(f"{shown[missing[0]].key}: cannot be read, so nothing can be measured")
    number = {name: place for place, name in enumerate(names)}
    ids = tokenizer.encode([fill(sentence, name) for name in names]).ids
    return Exam(
        pixels=torch.as_tensor(batch.pixels),
        truth=[number[example.texts[0]] for example in shown],
        names=names,
        tokens=torch.as_tensor(ids),
    )
