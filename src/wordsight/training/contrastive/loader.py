"""From examples to the batches of a run: decoded, cut to squares and tokenized ahead of time.

What a batch holds is a pure function of the examples, the plan and the number of the step: it does
not depend on how many processes read, nor on where a run was resumed.

Shape letters: B pairs of this process, S side of the pictures, L tokens.
"""

import hashlib
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.data.examples import Example, Examples
from wordsight.data.positives import sentence_key
from wordsight.errors import DataError, ImageError
from wordsight.images import Preprocessing, open_image
from wordsight.images.augment import Crop, random_square
from wordsight.text import Tokenizer
from wordsight.training.contrastive.plan import BatchPlan, sample_generator

AHEAD = 2
"""Batches that are read while one is learnt from."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process learns from in one step."""

    squares: Tensor
    """(B, S, S, 3) uint8. Tensors travel between processes in shared memory: arrays would fill a
    pipe, on which a worker of a killed run would wait for ever."""
    tokens: Tensor
    """(B, L)"""
    images: Tensor
    """(B,) digest of the name of the example; equal for equal pictures."""
    texts: Tensor
    """(B,) digest of the sentence; equal for equal sentences."""
    num_truncated: int
    """Sentences whose end did not fit."""
    bad: tuple[tuple[str, str], ...]
    """Name and reason of each example that could not be read; the one before it is shown twice."""

    def pixels(
        self,
        recipe: Preprocessing,
        device: torch.device,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """Return the normalised pixels (B, 3, S, S), laid out in memory as asked."""
        squares = self.squares.to(device).permute(0, 3, 1, 2)
        mean = torch.tensor(recipe.mean, device=device).mul_(255)[:, None, None]
        deviation = torch.tensor(recipe.std, device=device).mul_(255)[:, None, None]
        return squares.float().sub_(mean).div_(deviation).contiguous(memory_format=layout)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the batches of a run, in this process or in others."""

    examples: Examples
    tokenizer: Tokenizer
    plan: BatchPlan
    recipe: Preprocessing
    crop: Crop
    templates: tuple[str, ...] = ()
    rank: int = 0
    num_ranks: int = 1
    cuts_padding: bool = False
    """Whether rows of tokens end with the longest text of the batch; the text tower must allow it
    (`is_causal`). A tower that reads the last place, as SigLIP's, needs whole rows."""

    def __len__(self) -> int:
        return self.plan.num_steps

    def __getitem__(self, step: int) -> Batch:
        """Read the part of a step's batch that is this rank's.

        Raises:
            DataError: if no example of the batch can be read.
        """
        size = self.plan.batch_size // self.num_ranks
        part = slice(self.rank * size, (self.rank + 1) * size)
        samples, shown = self.plan.samples(step)[part], self.plan.examples(step)[part]
        squares: list[NDArray[np.uint8]] = []
        sentences: list[str] = []
        images: list[int] = []
        bad: list[tuple[str, str]] = []
        for sample, index in zip(samples.tolist(), shown.tolist(), strict=True):
            example = self.examples[index]
            try:
                square, sentence = self._draw(example, sample)
            except ImageError as error:
                bad.append((example.key, str(error)))
                continue
            squares.append(square)
            sentences.append(sentence)
            images.append(_digest(example.key))
        if not squares:
            raise DataError(f"step {step}: none of {size} pictures could be read: {bad[0][1]}")
        for _ in bad:  # batches keep their size; a pair shown twice matches itself
            squares.append(squares[0])
            sentences.append(sentences[0])
            images.append(images[0])
        tokens = self.tokenizer.encode(sentences)
        length = int(tokens.lengths.max()) if self.cuts_padding else tokens.ids.shape[1]
        return Batch(
            squares=torch.as_tensor(np.stack(squares)),
            tokens=torch.as_tensor(tokens.ids[:, :length].copy()),
            images=torch.tensor(images),
            texts=torch.tensor([text_id(sentence) for sentence in sentences]),
            num_truncated=len(tokens.truncated),
            bad=tuple(bad),
        )

    def _draw(self, example: Example, sample: int) -> tuple[NDArray[np.uint8], str]:
        generator = sample_generator(self.plan.seed, sample)
        sentence = example.texts[int(generator.integers(len(example.texts)))]
        if self.templates:
            template = self.templates[int(generator.integers(len(self.templates)))]
            sentence = template.replace("{}", sentence)
        picture = open_image(example.image)
        return np.asarray(random_square(picture, self.recipe, self.crop, generator)), sentence


def text_id(sentence: str) -> int:
    """Return 63 bits that are equal for sentences that differ only in blanks and letter case."""
    return _digest(sentence_key(sentence))


def _digest(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def read_batches(reader: Reader, *, first: int, workers: int) -> Generator[Batch]:
    """Read the batches from step `first` on, ahead of time: by a thread, or by other processes."""
    steps = range(first, len(reader))
    if workers:
        yield from _by_processes(reader, steps, workers)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Batch]] = [pool.submit(reader.__getitem__, s) for s in steps[:AHEAD]]
        try:
            for step in steps:
                batch = waiting.pop(0).result()
                if step + AHEAD < len(reader):
                    waiting.append(pool.submit(reader.__getitem__, step + AHEAD))
                yield batch
        finally:
            for future in waiting:
                future.cancel()


def _by_processes(reader: Reader, steps: Sequence[int], workers: int) -> Generator[Batch]:
    data: Any = torch.utils.data
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # as asked
        # a fork of a process with threads can lock up, and a worker of a fork server would not
        # notice that the run was killed
        batches = data.DataLoader(
            reader,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=AHEAD,
            multiprocessing_context="spawn",
        )
        waiting = iter(batches)
    yield from waiting
