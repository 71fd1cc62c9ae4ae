"""Vectors of pictures, each computed once by each model, whatever becomes of the process.

Shape letters: N pictures, E width of the vectors.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.identity import model_checksum as model_checksum
from wordsight.engine.model import Model
from wordsight.errors import ImageError
from wordsight.images import ImageLimits
from wordsight.model.outputs import EMBEDDING

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""

CHUNK = 256
"""Pictures after which vectors go to disk; a killed run loses at most so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What the files hold, as digests; and the files that cannot be read at all."""

    keys: dict[int, bytes]
    """SHA-256 of each picture, by its place."""
    errors: dict[int, str]

    @property
    def fingerprint(self) -> str:
        """Digest that changes when a picture does."""
        digest = hashlib.sha256()
        for place in sorted(self.keys.keys() | self.errors.keys()):
            digest.update(self.keys.get(place, b"-"))
        return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors of the pictures that can be read."""

    rows: NDArray[np.float32]
    """(N, E), of the readable pictures only."""
    places: tuple[int, ...]
    """Place of each row among the pictures given."""
    errors: dict[int, str]
    """Why each other one has none."""


def read_contents(images: Sequence[Path | bytes], *, progress: Progress | None = None) -> Contents:
    """Digest every picture, so that changed files are noticed and equal ones are known."""
    largest = ImageLimits().max_bytes
    keys: dict[int, bytes] = {}
    errors: dict[int, str] = {}
    for place, image in enumerate(images):
        try:
            if isinstance(image, bytes):
                keys[place] = content_key(image)
            elif not image.is_file():
                errors[place] = "is no file, or is gone"
            elif image.stat().st_size > largest:
                errors[place] = f"the file has more than {largest} bytes"
            else:
                keys[place] = content_key(image.read_bytes())
        except OSError as error:
            errors[place] = f"cannot be read: {error.strerror}"
        if progress and (place % CHUNK == CHUNK - 1 or place == len(images) - 1):
            progress("checksums", place + 1, len(images))
    return Contents(keys, errors)


@dataclass(slots=True)
class Embedder:
    """Computes vectors of one model through a store on disk."""

    model: Model
    checksum: str
    cache: Path
    num_cached: int = 0
    num_computed: int = 0
    damaged: list[Path] = field(default_factory=list[Path])
    """Files of the store that were damaged; what they held is computed again."""
    _stores: dict[str, FeatureStore] = field(default_factory=dict[str, FeatureStore])

    def read(
        self,
        images: Sequence[Path | bytes],
        contents: Contents,
        *,
        output: str = EMBEDDING,
        progress: Progress | None = None,
    ) -> Vectors:
        """Return the vectors of all pictures that can be read.

        Args:
            images: the pictures.
            contents: what `read_contents` says of them.
            output: "embedding", or the model's `feature_output`.
            progress: called after every batch.

        Raises:
            BundleError: if the model gives what is no finite number; CheckpointError for a
                checkpoint.
        """
        store = self._store(output)
        first: dict[bytes, int] = {}
        for place, key in contents.keys.items():
            if key not in store:
                first.setdefault(key, place)
        self.num_cached += len(contents.keys) - len(first)
        reasons = self._compute(images, first, store, output=output, progress=progress)
        errors = dict(contents.errors)
        places: list[int] = []
        for place, key in sorted(contents.keys.items()):
            if key in reasons:
                errors[place] = reasons[key]
            else:
                places.append(place)
        rows = store.take([contents.keys[place] for place in places])
        return Vectors(rows, tuple(places), errors)

    def _compute(
        self,
        images: Sequence[Path | bytes],
        first: dict[bytes, int],
        store: FeatureStore,
        *,
        output: str,
        progress: Progress | None,
    ) -> dict[bytes, str]:
        keys, places = list(first), list(first.values())
        reasons: dict[bytes, str] = {}
        for start in range(0, len(keys), CHUNK):
            chunk = places[start : start + CHUNK]
            encoded = self.model.encode_image_files(
                [images[place] for place in chunk],
                output=output,
                progress=_from(progress, start, len(keys)),
            )
            for place, error in encoded.errors:
                reasons[keys[start + place]] = _reason(error, images[chunk[place]])
            store.add(
                {
                    keys[start + place]: row
                    for place, row in zip(encoded.indices, encoded.embeddings, strict=True)
                }
            )
            store.flush()
        self.num_computed += len(keys) - len(reasons)
        return reasons

    def _store(self, output: str) -> FeatureStore:
        if output not in self._stores:
            blank = np.zeros((8, 8, 3), np.uint8)
            encoded = self.model.encode_image_files([blank], output=output)
            folder = self.cache / "evaluation" / f"{self.checksum}-{output}"
            store = FeatureStore(folder, encoded.embeddings.shape[1], precision="float32")
            self.damaged += store.damaged
            self._stores[output] = store
        return self._stores[output]


def _from(progress: Progress | None, start: int, of: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, _: progress("pictures", start + done, of)


def _reason(error: ImageError, image: Path | bytes) -> str:
    return str(error).removeprefix(f"{image}: ") if isinstance(image, Path) else str(error)
