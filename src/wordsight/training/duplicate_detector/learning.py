"""Learning to know copies: pictures against copies of themselves, changed at random.

Symmetric InfoNCE at the fixed temperature 0.07 of the paper's appendix C; the proxy task is to find
the picture a copy was made from among all that were held out.

Shape letters: N pictures, B of a step, E width of the vectors.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from wordsight.errors import DataError, ImageError, TrainingError
from wordsight.images import open_image
from wordsight.metrics import accuracy
from wordsight.model.losses import info_nce
from wordsight.training.duplicate_detector.detector import DuplicateDetector, Report
from wordsight.training.duplicate_detector.network import CopyNetwork, NetworkConfig
from wordsight.training.duplicate_detector.variations import pixels, plain, vary

TEMPERATURE = 0.07
FEWEST = 32
"""Pictures below which there is nothing to tell apart."""
MOST_HELD_OUT = 512
KEPT_SIDE = 128
"""Pixels of the longer side of what is kept in memory."""
FALSE_ALARMS = 0.01
"""Share of held-out pictures that have another picture above the threshold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningConfig:
    """How a detector learns; the defaults take two to three minutes on one core."""

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 3e-3
    """At its height: it rises over a twentieth of the steps, then falls along a cosine."""
    max_pictures: int = 8000
    """Pictures kept in memory; of more, these many are drawn."""
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size - 1, self.max_pictures - FEWEST + 1) < 1:
            raise ValueError(
                "steps must be 1 or more, batch_size 2 or more, max_pictures "
                f"{FEWEST} or more, got {self.steps}, {self.batch_size}, {self.max_pictures}"
            )


def learn_detector(
    images: Sequence[Path | bytes | Image.Image],
    config: LearningConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DuplicateDetector:
    """Learn a detector from pictures without any labels; one seed, one result on one machine.

    A tenth of the pictures, 512 at most, are held out: the report of the detector is about them.
    Pictures that cannot be read are passed over.

    Args:
        images: what it is to know copies of, or pictures of the same kind.
        config: how it learns.
        progress: called with the number of steps done and of all.

    Raises:
        DataError: if fewer than 32 pictures can be read.
        TrainingError: if the loss is no number.
    """
    config = config or LearningConfig()
    random = np.random.default_rng(config.seed)
    pictures = _read(images, config.max_pictures, random)
    num_held_out = min(MOST_HELD_OUT, max(len(pictures) // 10, FEWEST // 4))
    held_out, own = pictures[:num_held_out], pictures[num_held_out:]
    network = CopyNetwork(config.network)
    network.initialise(torch.Generator().manual_seed(config.seed))
    _learn(network, own, config, random, progress)
    return DuplicateDetector(network, _examine(network, held_out, random))


def _read(
    images: Sequence[Path | bytes | Image.Image], most: int, random: np.random.Generator
) -> list[Image.Image]:
    """Open pictures in random order, small, until there are enough."""
    found: list[Image.Image] = []
    for place in random.permutation(len(images)):
        try:
            picture = open_image(images[int(place)])
        except ImageError:
            continue
        picture.thumbnail((KEPT_SIDE, KEPT_SIDE))
        found.append(picture)
        if len(found) == most:
            break
    if len(found) < FEWEST:
        raise DataError(
            f"{len(found)} of {len(images)} pictures can be read; a detector needs {FEWEST}",
            hint="learn it from other pictures of the same kind",
        )
    return found


def _learn(
    network: CopyNetwork,
    pictures: list[Image.Image],
    config: LearningConfig,
    random: np.random.Generator,
    progress: Callable[[int, int], None] | None,
) -> None:
    size, batch = config.network.image_size, min(config.batch_size, len(pictures))
    log_scale = torch.tensor(-math.log(TEMPERATURE))
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser: Any = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for step in range(config.steps):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * _share(step, config.steps)
        places = random.choice(len(pictures), batch, replace=False)
        chosen = [pictures[int(place)] for place in places]
        originals = [plain(picture, size) for picture in chosen]
        copies = [vary(picture, size, random) for picture in chosen]
        vectors = network(torch.tensor(pixels(originals + copies)))
        loss: Any = info_nce(vectors[:batch], vectors[batch:], log_scale)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"step {step}: the loss is {loss.item()}", hint="choose a smaller learning_rate"
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress:
            progress(step + 1, config.steps)


def _share(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _examine(
    network: CopyNetwork, pictures: list[Image.Image], random: np.random.Generator
) -> Report:
    """Look for held-out pictures by changed copies of them, and for the chance likeness of two."""
    size = network.config.image_size
    with torch.inference_mode():
        originals = network(torch.tensor(pixels([plain(p, size) for p in pictures]))).numpy()
        copies = network(torch.tensor(pixels([vary(p, size, random) for p in pictures])))
    found = accuracy((copies.numpy() @ originals.T).argmax(axis=1), np.arange(len(pictures)))
    between = originals @ originals.T
    np.fill_diagonal(between, -1.0)
    threshold = float(np.quantile(between.max(axis=1), 1 - FALSE_ALARMS))
    return Report(found, threshold)
