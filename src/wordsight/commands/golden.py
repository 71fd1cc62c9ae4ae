"""Writing down what the original says of some inputs, for `wordsight verify`.

Shape letters: N pictures, M sentences, E joint space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle.golden import Golden, GoldenWords
from wordsight.engine.choice import Engine, open_graph
from wordsight.engine.parity import SENTENCES, Embedded, compare_towers, drawn_pictures, embed
from wordsight.engine.settings import EngineSettings
from wordsight.images import Preprocessing, prepare_batch
from wordsight.text import Tokenizer

NUM_PICTURES, SIDE = 6, 64


@dataclass(frozen=True, slots=True)
class Draft:
    """Inputs and what the original says of them, before the export is known."""

    tokenizer: Tokenizer
    pictures: NDArray[np.float32]
    pixels: NDArray[np.float32]
    original: Embedded

    @classmethod
    def of(cls, original: Engine, tokenizer: Tokenizer, preprocessing: Preprocessing) -> "Draft":
        """Draw pictures, and ask the original."""
        drawn = [
            np.asarray(one, np.float32) / np.float32(255)
            for one in drawn_pictures(NUM_PICTURES, SIDE)
        ]
        pixels = prepare_batch(drawn, preprocessing).pixels
        return cls(
            tokenizer,
            np.stack(drawn).astype(np.float32),
            pixels,
            embed(original, pixels, tokenizer, SENTENCES),
        )

    def finished(
        self, graphs: Mapping[str, Path], engines: Sequence[str], settings: EngineSettings
    ) -> Golden:
        """Ask every engine, and write down how near the farthest of them is."""
        images: list[float] = []
        texts: list[float] = []
        for name in engines:
            runners = (open_graph(path, name, settings=settings) for path in graphs.values())
            found = embed(Engine(name, *runners), self.pixels, self.tokenizer, SENTENCES)
            image, text = compare_towers(self.original, found)
            images.append(image.mean_cosine)
            texts.append(text.mean_cosine)
        return Golden(
            words=GoldenWords(
                sentences=SENTENCES, image_cosine=min(images), text_cosine=min(texts)
            ),
            pictures=self.pictures,
            images=self.original.images,
            texts=self.original.texts,
        )
