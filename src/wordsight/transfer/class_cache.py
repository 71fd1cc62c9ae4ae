"""Vectors of classes, kept so that the text tower reads the same sentences once.

One file for each set of classes in wordsight's cache folder, not in the bundle: that may be
read-only, and its checksums would no longer fit. A file is the SHA-256 of its content and then the
vectors, (C, E) float32; its name is a digest of model, engine, precision, classes and sentences. A
damaged file counts as none. Once all files together are larger than allowed, those that were not
used for longest go.

Shape letters: C classes, E joint space.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.bundle import Bundle
from wordsight.engine.identity import model_checksum
from wordsight.engine.model import Model
from wordsight.files import write_bytes

FOLDER, ENDING = "classes", ".f32"
MAX_BYTES = 256 * 2**20
"""Of all files together; 1,000 classes of a space 512 wide are 2 MB."""
DIGEST_BYTES = 32


class ClassCache:
    """A folder of class vectors."""

    def __init__(self, cache: Path, *, max_bytes: int = MAX_BYTES):
        self.folder = cache / FOLDER
        self.max_bytes = max_bytes

    def read(self, key: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """Return the vectors that were kept under a key; None if there are none, or damaged ones.

        Args:
            key: what `cache_key` returns.
            shape: (C, E), which they must have.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, rows = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(rows).digest() != digest or len(rows) != 4 * shape[0] * shape[1]:
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read is of use too
            os.utime(path)
        return np.frombuffer(rows, "<f4").reshape(shape).copy()

    def write(self, key: str, vectors: NDArray[np.float32]) -> None:
        """Keep vectors; where the folder cannot be written to, they are computed again next time.

        Args:
            key: what `cache_key` returns.
            vectors: (C, E).
        """
        rows = np.ascontiguousarray(vectors, "<f4").tobytes()
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self._path(key), hashlib.sha256(rows).digest() + rows)
            self._make_room()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{ENDING}"

    def _make_room(self) -> None:
        """Remove the files that were not used for longest, until the others are small enough."""
        found: list[tuple[int, int, Path]] = []
        for path in self.folder.glob(f"*{ENDING}"):
            with contextlib.suppress(FileNotFoundError):  # another process made room
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        total = 0
        for _, size, path in sorted(found, reverse=True):
            total += size
            if total > self.max_bytes:
                path.unlink(missing_ok=True)


def cache_key(model: Model, sentences: Iterable[Sequence[str]]) -> str:
    """Return the name under which the vectors of these classes of this model are kept.

    Args:
        model: its files, config, vocabulary, engine and precision go into the name.
        sentences: of each class, in their order, as they are read.
    """
    digest = hashlib.sha256(model_checksum(model).encode())
    digest.update(json.dumps([list(said) for said in sentences]).encode())
    if not isinstance(model.source, Bundle):  # the vocabulary may lie elsewhere
        digest.update(model.tokenizer.to_bytes())
    return digest.hexdigest()
