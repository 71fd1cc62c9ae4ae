"""How closely an engine says what another says, measured on the same inputs.

Shape letters: N inputs, E joint space, S image side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.engine.choice import Engine
from wordsight.engine.runner import Runner
from wordsight.engine.texts import encode_texts
from wordsight.model.outputs import EMBEDDING
from wordsight.text import Tokenizer

BATCH = 8
SENTENCES = (
    "a dog",
    "A photo of two cats on a red sofa.",
    "rain",
    "a close-up of a thin dark crack in a grey concrete wall, seen from the left",
    "3 bottles of water, 1 glass, and 20 coins on a table",
    "an old map of the world",
    "the number 7",
    "a bird's nest in a tree",
    "a diagram of a machine with many small parts, each of them with a name and an arrow",
    "snow on a mountain at night",
    "a child draws a house with blue chalk",
    "nothing but fog",
    "a green train leaves the station",
    "handwriting",
    "a plate of rice, fish and pickles",
    "an empty street with a bicycle in front of a shop that sells umbrellas",
)
"""What is compared if the caller has no sentences: from one word to many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """How far an engine may be from the reference."""

    difference: float
    """Between two components of unit vectors, at most."""
    cosine: float
    """At least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TowerParity:
    """One tower on one engine, against the reference."""

    num_inputs: int
    largest_difference: float
    """Between two components of unit vectors."""
    smallest_cosine: float
    mean_cosine: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """Both towers on one engine, against the reference."""

    engine: str
    image: TowerParity
    text: TowerParity
    agreement: float
    """Share of pictures that find the same sentence nearest."""

    def is_within(self, limit: Limit) -> bool:
        """Say whether both towers are near enough; what is not a number is not."""
        return all(
            tower.largest_difference <= limit.difference and tower.smallest_cosine >= limit.cosine
            for tower in (self.image, self.text)
        )

    def __str__(self) -> str:
        return ", ".join(
            f"{what} differ by {tower.largest_difference:.1e} with a cosine of "
            f"{tower.smallest_cosine:.6f}"
            for what, tower in (("pictures", self.image), ("sentences", self.text))
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one engine says of the inputs."""

    images: NDArray[np.float32]
    """(N, E)"""
    texts: NDArray[np.float32]
    """(M, E)"""

    def compare(self, other: "Embedded", *, engine: str) -> Parity:
        """Measure how far `other` is from this, the reference."""
        image, text = compare_towers(self, other)
        return Parity(
            engine=engine,
            image=image,
            text=text,
            agreement=float(np.equal(self._nearest(), other._nearest()).mean()),
        )

    def _nearest(self) -> NDArray[np.int64]:
        return (self.images @ self.texts.T).argmax(axis=1)


def embed(
    engine: Engine, pixels: NDArray[np.float32], tokenizer: Tokenizer, texts: Sequence[str]
) -> Embedded:
    """Run both towers of an engine on prepared pictures (N, 3, S, S) and sentences."""
    return Embedded(
        embed_pixels(engine.image, pixels),
        encode_texts(engine.text, tokenizer, texts, output=EMBEDDING, batch_size=BATCH),
    )


def embed_pixels(runner: Runner, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an image tower on prepared pictures (N, 3, S, S)."""
    rows = [
        runner.run(np.ascontiguousarray(pixels[start : start + BATCH]))[EMBEDDING]
        for start in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(rows)


def drawn_pictures(count: int, size: int = 256) -> list[Image.Image]:
    """Draw pictures of coloured clouds, stripes and grain; the same every time."""
    pictures: list[Image.Image] = []
    for number in range(count):
        rng = np.random.default_rng(number)
        cells = int(rng.integers(2, 12))
        clouds = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels = np.asarray(clouds.resize((size, size), Image.Resampling.BICUBIC), np.float32)
        waves: NDArray[np.floating] = np.arange(size) * rng.uniform(0.02, 0.5)
        stripes = np.sin(waves)[:, None, None]
        grain = rng.normal(0, rng.uniform(0, 30), (size, size, 3))
        pixels = pixels + stripes * rng.uniform(0, 60) + grain
        pictures.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return pictures


def compare_towers(reference: Embedded, found: Embedded) -> tuple[TowerParity, TowerParity]:
    """Compare the vectors of pictures, and those of sentences."""
    return _tower(reference.images, found.images), _tower(reference.texts, found.texts)


def _tower(reference: NDArray[np.float32], found: NDArray[np.float32]) -> TowerParity:
    cosines = (reference.astype(np.float64) * found).sum(axis=1)
    return TowerParity(
        num_inputs=len(reference),
        largest_difference=float(np.abs(reference - found).max()),
        smallest_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
    )


def markdown(parities: tuple[Parity, ...]) -> str:
    """Return a Markdown table."""
    lines = [
        "| engine | tower | inputs | largest difference | smallest cosine | same nearest |",
        "|---|---|---|---|---|---|",
    ]
    for parity in parities:
        sides: Mapping[str, TowerParity] = {"pictures": parity.image, "sentences": parity.text}
        for name, side in sides.items():
            same = f"{parity.agreement:.1%}" if name == "pictures" else ""
            lines.append(
                f"| {parity.engine} | {name} | {side.num_inputs} | "
                f"{side.largest_difference:.1e} | {side.smallest_cosine:.6f} | {same} |"
            )
    return "\n".join(lines) + "\n"
