"""A model as people use it: pictures and sentences in, unit vectors out.

Shape letters: N inputs, E joint space, L tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.bundle.store import IMAGE_GRAPH, TEXT_GRAPH, WEIGHTS
from wordsight.engine.choice import Engine
from wordsight.engine.pictures import encode_pictures
from wordsight.engine.texts import encode_texts
from wordsight.errors import BundleError, ImageError, InputError
from wordsight.images import ImageSource
from wordsight.model.outputs import EMBEDDING
from wordsight.text import Tokenizer

Progress = Callable[[int, int], None]
"""Called with the number done and the number of all."""


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Embeddings of the pictures that could be read, and the reason for every other one."""

    embeddings: NDArray[np.float32]
    """(N, E) unit rows."""
    indices: list[int]
    """Place of each row among the pictures given."""
    errors: list[tuple[int, ImageError]]
    """Place and reason of each picture left out."""


class Model:
    """An opened bundle; get one from `wordsight.load`."""

    def __init__(self, bundle: Bundle, engine: Engine):
        self.bundle = bundle
        self.engine = engine
        self.tokenizer: Tokenizer = bundle.tokenizer()

    def __repr__(self) -> str:
        return f"<wordsight model {self.name!r} on {self.engine.name}, {self.embed_dim} wide>"

    @property
    def name(self) -> str:
        """What people call the model."""
        return self.bundle.config.name

    @property
    def embed_dim(self) -> int:
        """Width E of the joint space."""
        return self.bundle.config.embed_dim

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by before the softmax."""
        return self.bundle.config.similarity.scale

    @property
    def logit_bias(self) -> float:
        """What is added to the scaled cosines."""
        return self.bundle.config.similarity.bias

    def encode_image(
        self,
        images: Sequence[ImageSource],
        *,
        batch_size: int = 16,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Embed pictures as unit rows (N, E), float32.

        Raises:
            ImageError: for the first picture that cannot be used, naming its place. To keep the
                others, call `encode_image_files`.
            BundleError: if the model gives what cannot be unit vectors.
        """
        encoded = self.encode_image_files(images, batch_size=batch_size, progress=progress)
        if encoded.errors:
            place, error = encoded.errors[0]
            raise ImageError(f"picture {place}: {error}", hint=error.hint)
        return encoded.embeddings

    def encode_image_files(
        self,
        images: Sequence[ImageSource],
        *,
        batch_size: int = 16,
        progress: Progress | None = None,
    ) -> EncodedImages:
        """Embed the pictures that can be read, and say why the others cannot."""
        is_list = hasattr(images, "__len__") and getattr(images, "ndim", 4) == 4
        if isinstance(images, (str, bytes)) or not is_list:
            raise InputError("expected a list of pictures, got one", hint="write [picture]")
        rows: list[NDArray[np.float32]] = [np.zeros((0, self.embed_dim), np.float32)]
        indices: list[int] = []
        errors: list[tuple[int, ImageError]] = []
        batches = encode_pictures(
            self.engine.image,
            images,
            self.bundle.config.preprocessing,
            outputs=(EMBEDDING,),
            batch_size=batch_size,
        )
        for batch in batches:
            rows.extend(self._checked(array, IMAGE_GRAPH) for array in batch.arrays.values())
            indices.extend(batch.indices)
            errors.extend(batch.errors)
            if progress:
                progress(len(indices) + len(errors), len(images))
        return EncodedImages(np.concatenate(rows), indices, errors)

    def encode_text(
        self, texts: Sequence[str], *, batch_size: int = 64, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed sentences as unit rows (N, E), float32.

        Raises:
            TextError: if a text is not usable, naming its place.
            BundleError: if the model gives what cannot be unit vectors.
        """
        if isinstance(texts, str):
            raise InputError("expected a list of sentences, got one string", hint="write [text]")
        if not texts:
            return np.zeros((0, self.embed_dim), np.float32)
        rows = encode_texts(
            self.engine.text,
            self.tokenizer,
            texts,
            output=EMBEDDING,
            batch_size=batch_size,
            progress=progress,
        )
        return self._checked(rows, TEXT_GRAPH)

    def _checked(self, rows: NDArray[np.float32], graph: str) -> NDArray[np.float32]:
        file = self.bundle.path / (WEIGHTS if self.engine.name == "torch" else graph)
        if rows.ndim != 2 or rows.shape[1] != self.embed_dim:
            raise BundleError(
                f"{file}: gives vectors of shape {rows.shape[1:]}; config.json says "
                f"embed_dim {self.embed_dim}"
            )
        if not np.isfinite(rows).all():
            raise BundleError(
                f"{file}: gives vectors that are not finite numbers", hint="its weights are damaged"
            )
        return rows

    def tokenize(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return token ids (N, L) as the text tower sees them."""
        return self.tokenizer.encode(texts).ids
