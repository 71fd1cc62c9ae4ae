"""A model as people use it: pictures and sentences in, unit vectors out.

Shape letters: N inputs, E joint space, L tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.bundle.classifier import BundleClassifier
from wordsight.engine.choice import Engine
from wordsight.engine.pace import Pace
from wordsight.engine.pictures import encode_pictures
from wordsight.engine.runner import Runner
from wordsight.engine.source import Source
from wordsight.engine.texts import encode_texts
from wordsight.errors import BundleError, CheckpointError, ImageError, InputError
from wordsight.images import ImageSource, Reading
from wordsight.model.outputs import EMBEDDING, FEATURES

if TYPE_CHECKING:
    from wordsight.text import Tokenizer

Progress = Callable[[int, int], None]
"""Called with the number done and the number of all."""


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Embeddings of the pictures that could be read, and the reason for every other one."""

    embeddings: NDArray[np.float32]
    """(N, E) unit rows; or (N, D) features of any length, where those were asked for."""
    indices: list[int]
    """Place of each row among the pictures given."""
    errors: list[tuple[int, ImageError]]
    """Place and reason of each picture left out."""
    pace: Pace
    """Where the time went."""


class Model:
    """An opened bundle or checkpoint; get one from `wordsight.load`."""

    def __init__(self, source: Source, engine: Engine):
        self.source = source
        self.engine = engine
        self.pace = Pace()
        """Where the time of all pictures went that were encoded so far."""

    def __repr__(self) -> str:
        return f"<wordsight model {self.name!r} on {self.engine.name}, {self.embed_dim} wide>"

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """What cuts sentences into tokens.

        Raises:
            CheckpointError: if there is no vocabulary beside the weights of a checkpoint.
            InputError: if it is an edge bundle, which reads no sentences.
        """
        return self.source.tokenizer()

    @cached_property
    def classifier(self) -> BundleClassifier | None:
        """What lies in a bundle to decide with, if something does (`wordsight.decide`).

        Raises:
            BundleError: if it is damaged.
        """
        return self.source.classifier() if isinstance(self.source, Bundle) else None

    @property
    def name(self) -> str:
        """What people call the model."""
        return self.source.config.name

    @property
    def embed_dim(self) -> int:
        """Width E of the joint space."""
        return self.source.config.embed_dim

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by before the softmax."""
        return self.source.config.similarity.scale

    @property
    def logit_bias(self) -> float:
        """What is added to the scaled cosines."""
        return self.source.config.similarity.bias

    def encode_image(
        self,
        images: Sequence[ImageSource],
        *,
        batch_size: int = 16,
        progress: Progress | None = None,
        reading: Reading | None = None,
    ) -> NDArray[np.float32]:
        """Embed pictures as unit rows (N, E), float32.

        Raises:
            ImageError: for the first picture that cannot be used, naming its place. To keep the
                others, call `encode_image_files`.
            BundleError: if the model gives what cannot be unit vectors; CheckpointError for a
                checkpoint.
        """
        encoded = self.encode_image_files(
            images, batch_size=batch_size, progress=progress, reading=reading
        )
        return _all_of(encoded).embeddings

    @property
    def feature_output(self) -> str:
        """What `encode_features` returns: "features", or "embedding" where there is nothing else.

        Torch towers have both, and so have graphs that this library writes; graphs of others may
        have the embedding only.
        """
        return FEATURES if FEATURES in self.engine.image.outputs else EMBEDDING

    def encode_features(
        self,
        images: Sequence[ImageSource],
        *,
        batch_size: int = 16,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Return what the image tower says before its head, (N, D), float32, of any length.

        Linear probes learn from these (Radford et al., 2021, appendix A.3): for a vision
        transformer what goes into the projection. The ResNets of CLIP have no projection, and
        their features are the embedding before it is brought to unit length. See
        `feature_output` for graphs without features.

        Raises:
            ImageError: for the first picture that cannot be used, naming its place. To keep the
                others, call `encode_image_files` with `output=model.feature_output`.
            BundleError: if the features are not finite numbers; CheckpointError for a checkpoint.
        """
        encoded = self.encode_image_files(
            images, batch_size=batch_size, progress=progress, output=self.feature_output
        )
        return _all_of(encoded).embeddings

    def encode_image_files(
        self,
        images: Sequence[ImageSource],
        *,
        batch_size: int = 16,
        progress: Progress | None = None,
        output: str = EMBEDDING,
        reading: Reading | None = None,
    ) -> EncodedImages:
        """Embed the pictures that can be read, and say why the others cannot.

        Args:
            images: files, bytes, pictures or arrays.
            batch_size: pictures per call of the tower.
            progress: called with the number of pictures done and of all.
            output: "embedding", or `feature_output` for what `encode_features` returns.
            reading: how files are read; `Reading(scaled_jpeg=True)` is faster on photographs.
        """
        is_list = hasattr(images, "__len__") and getattr(images, "ndim", 4) == 4
        if isinstance(images, (str, bytes)) or not is_list:
            raise InputError("expected a list of pictures, got one", hint="write [picture]")
        if output not in self.engine.image.outputs:
            raise InputError(
                f"{self.engine.image.path}: has no output {output!r}",
                hint=f"it has {', '.join(self.engine.image.outputs)}",
            )
        rows: list[NDArray[np.float32]] = []
        indices: list[int] = []
        errors: list[tuple[int, ImageError]] = []
        pace = Pace()
        batches = encode_pictures(
            self.engine.image,
            images,
            self.source.config.preprocessing,
            outputs=(output,),
            batch_size=batch_size,
            reading=reading,
        )
        for batch in batches:
            rows.extend(
                self._checked(array, self.engine.image, output) for array in batch.arrays.values()
            )
            indices.extend(batch.indices)
            errors.extend(batch.errors)
            pace += batch.pace
            if progress:
                progress(len(indices) + len(errors), len(images))
        if not rows:  # the width of features is known from rows only
            rows = [np.zeros((0, self.embed_dim if output == EMBEDDING else 0), np.float32)]
        self.pace += pace
        return EncodedImages(np.concatenate(rows), indices, errors, pace)

    def encode_text(
        self, texts: Sequence[str], *, batch_size: int = 64, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed sentences as unit rows (N, E), float32.

        Raises:
            TextError: if a text is not usable, naming its place.
            BundleError: if the model gives what cannot be unit vectors.
            CheckpointError: likewise for a checkpoint, or if it comes without a vocabulary.
            InputError: if it is an edge bundle, which reads no sentences.
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
        return self._checked(rows, self.engine.text)

    def _checked(
        self, rows: NDArray[np.float32], runner: Runner, output: str = EMBEDDING
    ) -> NDArray[np.float32]:
        error = BundleError if isinstance(self.source, Bundle) else CheckpointError
        if output == EMBEDDING and (rows.ndim != 2 or rows.shape[1] != self.embed_dim):
            raise error(
                f"{runner.path}: gives vectors of shape {rows.shape[1:]}; config.json says "
                f"embed_dim {self.embed_dim}"
            )
        if not np.isfinite(rows).all():
            raise error(
                f"{runner.path}: gives vectors that are not finite numbers",
                hint="its weights are damaged",
            )
        return rows

    def tokenize(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return token ids (N, L), padded as the rules of the model say.

        Raises:
            TextError: if a text is not usable, naming its place.
            CheckpointError: if there is no vocabulary beside the weights of a checkpoint.
        """
        return self.tokenizer.encode(texts).ids


def _all_of(encoded: EncodedImages) -> EncodedImages:
    if encoded.errors:
        place, error = encoded.errors[0]
        raise ImageError(f"picture {place}: {error}", hint=error.hint)
    return encoded
