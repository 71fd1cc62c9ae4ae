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

NOTHING = -1
"""Digest of a negative that is not there; those of sentences are not negative."""
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
    said: Tensor
    """(B,) digest of all that is said of the picture; equal for pictures of one class, whichever of
    its sentences was drawn."""
    negatives: Tensor
    """(B, K, L) token ids of sentences that are nearly true of each picture."""
    negative_texts: Tensor
    """(B, K) digests of these; -1 where a picture has fewer, and nothing but a place is kept."""
    sentences: tuple[str, ...]
    """(B,) as drawn, for a teacher with a vocabulary of its own."""
    num_truncated: int
    """Sentences whose end did not fit."""
    bad: tuple[tuple[str, str], ...]
    """Name and reason of each example that could not be read; the one before it is shown twice."""

    @property
    def all_tokens(self) -> Tensor:
        """(B, L); or, where there are negatives, (B, 1 + K, L), the true sentence first."""
        if not self.negatives.shape[1]:
            return self.tokens
        return torch.cat([self.tokens[:, None], self.negatives], dim=1)

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
    hard_negatives: int = 0
    """Sentences that are nearly true, for each picture."""
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
        drawn: list[_Drawn] = []
        bad: list[tuple[str, str]] = []
        for sample, index in zip(samples.tolist(), shown.tolist(), strict=True):
            example = self.examples[index]
            try:
                drawn.append(self._draw(example, sample))
            except ImageError as error:
                bad.append((example.key, str(error)))
        if not drawn:
            raise DataError(f"step {step}: none of {size} pictures could be read: {bad[0][1]}")
        drawn += [drawn[0]] * len(bad)  # batches keep their size; a pair shown twice matches itself
        return self._batch(drawn, tuple(bad))

    def _batch(self, drawn: Sequence["_Drawn"], bad: tuple[tuple[str, str], ...]) -> Batch:
        sentences = tuple(one.sentence for one in drawn)
        missing = [self.hard_negatives - len(one.negatives) for one in drawn]
        places = [
            text
            for one, count in zip(drawn, missing, strict=True)
            for text in (*one.negatives, *(one.sentence,) * count)  # any text keeps a place
        ]
        tokens = self.tokenizer.encode([*sentences, *places])
        length = int(tokens.lengths.max()) if self.cuts_padding else tokens.ids.shape[1]
        ids = torch.as_tensor(tokens.ids[:, :length].copy())
        shape = len(drawn), self.hard_negatives
        wrong = [
            digest
            for one, count in zip(drawn, missing, strict=True)
            for digest in (*map(text_id, one.negatives), *(NOTHING,) * count)
        ]
        return Batch(
            squares=torch.as_tensor(np.stack([one.square for one in drawn])),
            tokens=ids[: len(drawn)],
            images=torch.tensor([_digest(one.key) for one in drawn]),
            texts=torch.tensor([text_id(sentence) for sentence in sentences]),
            said=torch.tensor([one.said for one in drawn]),
            negatives=ids[len(drawn) :].reshape(*shape, length),
            negative_texts=torch.tensor(wrong, dtype=torch.int64).reshape(shape),
            sentences=sentences,
            num_truncated=len(tokens.truncated),
            bad=bad,
        )

    def _draw(self, example: Example, sample: int) -> "_Drawn":
        generator = sample_generator(self.plan.seed, sample)
        sentence = example.texts[int(generator.integers(len(example.texts)))]
        template = "{}"
        if self.templates:
            template = self.templates[int(generator.integers(len(self.templates)))]
        negatives: list[str] = []
        if self.hard_negatives and example.negatives:
            count = min(self.hard_negatives, len(example.negatives))
            chosen = generator.permutation(len(example.negatives))[:count]
            negatives = [template.replace("{}", example.negatives[int(k)]) for k in chosen]
        picture = open_image(example.image)
        square = np.asarray(random_square(picture, self.recipe, self.crop, generator))
        said = _digest("\n".join(sorted(map(sentence_key, example.texts))))
        return _Drawn(square, template.replace("{}", sentence), tuple(negatives), example.key, said)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is seen of an example this time."""

    square: NDArray[np.uint8]
    sentence: str
    negatives: tuple[str, ...]
    """As many as are asked for, or as there are."""
    key: str
    said: int


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
