"""What a model said where it was made: pictures and sentences with their vectors.

`wordsight verify` runs them again on the machine that will use the model, since int8 and bfloat16
are computed by other instructions on other processors.

golden.json   sentences, and how near to the original each tower was where it was exported
golden.npz    pictures, drawn by the exporter, and the original's vectors

Shape letters: N pictures, H W pixels, M sentences, E joint space.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wordsight.bundle.plain_arrays import Floats, pack, unpack
from wordsight.bundle.schema import as_type, read_json
from wordsight.config import to_dict
from wordsight.errors import BundleError

GOLDEN_WORDS, GOLDEN_NUMBERS = "golden.json", "golden.npz"
NAMES = ("pictures", "images", "texts")
LARGEST_SIDE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenWords:
    """What golden.json says."""

    schema: int = 1
    """Version of this layout."""
    sentences: tuple[str, ...]
    """What `texts` are the vectors of."""
    image_cosine: float
    """Mean cosine of pictures with the original, on the engine that was farthest from it."""
    text_cosine: float
    """Likewise of sentences."""

    def __post_init__(self) -> None:
        if self.schema != 1:
            raise ValueError(f"schema {self.schema} is not one this version can read (it reads 1)")
        if not all(0 < cosine <= 1.001 for cosine in (self.image_cosine, self.text_cosine)):
            raise ValueError("cosines must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Golden:
    """Inputs, and what the original said of them."""

    words: GoldenWords
    pictures: Floats
    """(N, H, W, 3), 0 to 1."""
    images: Floats
    """(N, E) unit vectors."""
    texts: Floats
    """(M, E) unit vectors."""

    def files(self) -> dict[str, bytes]:
        """Return the content of both files."""
        text = json.dumps(to_dict(self.words), indent=1, ensure_ascii=False) + "\n"
        arrays = {"pictures": self.pictures, "images": self.images, "texts": self.texts}
        return {GOLDEN_WORDS: text.encode(), GOLDEN_NUMBERS: pack(arrays)}


def read_golden(folder: Path, embed_dim: int) -> Golden:
    """Read both files from a folder that nobody vouches for.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    path = folder / GOLDEN_WORDS
    words = as_type(GoldenWords, read_json(path), path)
    where = folder / GOLDEN_NUMBERS
    arrays = unpack(where, NAMES)
    if set(arrays) != set(NAMES):
        raise BundleError(f"{where}: holds {sorted(arrays)}, expected {sorted(NAMES)}")
    golden = Golden(words=words, **arrays)
    shape = golden.pictures.shape
    is_fitting = (
        len(shape) == 4
        and shape[0] >= 1
        and max(shape[1:3]) <= LARGEST_SIDE
        and shape[3] == 3
        and golden.images.shape == (shape[0], embed_dim)
        and golden.texts.shape == (len(words.sentences), embed_dim)
        and all(np.isfinite(array).all() for array in arrays.values())
    )
    if not is_fitting:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise BundleError(f"{where}: its arrays do not fit each other or the model: {shapes}")
    return golden
