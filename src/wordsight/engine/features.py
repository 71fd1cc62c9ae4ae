"""What frozen towers say, kept on disk so that it is computed once.

A store is a folder of segments. A segment is one .npy file of rows (key, value); its name is the
checksum of its content. Segments are only ever added, each in one step, so a killed run loses at
most the pictures since the last one, and several processes may share a store. A damaged segment is
named, left alone and computed again.

The key of a row is the SHA-256 of the bytes of the picture or sentence; the folder's
name stands for the tower and the preprocessing. Values are float16, unless asked otherwise:
features feed a small head, which notices no difference. Measurements take float32, so that a
cached answer is the answer of the model.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.key_index import KEY_BYTES, KeyIndex
from wordsight.files import write_bytes

SEGMENT_ROWS = 1024
MOST_ROWS = 1 << 32
"""More than any segment has: segment and row make one number."""


def content_key(content: bytes) -> bytes:
    """Return the key of a picture file, or of a sentence in UTF-8."""
    return hashlib.sha256(content).digest()


class FeatureStore:
    """Rows by key, in one folder."""

    def __init__(
        self, folder: Path, width: int, *, precision: Literal["float16", "float32"] = "float16"
    ):
        self.folder = folder
        self.width = width
        self.damaged: list[Path] = []
        self._value: np.dtype[np.floating] = np.dtype(precision)
        self._type = np.dtype([("key", np.uint8, (KEY_BYTES,)), ("value", self._value, (width,))])
        self._segments: list[Path] = []
        self._places = KeyIndex()
        """Segment and row of what is on disk; it stays there, so that memory stays flat."""
        self._new: dict[bytes, NDArray[np.floating]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.npy")):
            self._read(path)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places or key in self._new

    def __len__(self) -> int:
        return len(self._places) + len(self._new)

    def add(self, rows: Mapping[bytes, NDArray[np.floating]]) -> None:
        """Remember rows; a full segment goes to disk at once, the rest with `flush`."""
        for key, value in rows.items():
            if key not in self:
                self._new[key] = value.astype(self._value)
        if len(self._new) >= SEGMENT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Put all rows on disk."""
        if not self._new:
            return
        segment = np.empty(len(self._new), self._type)
        for place, (key, value) in enumerate(self._new.items()):
            segment[place] = (np.frombuffer(key, np.uint8), value)
        buffer = io.BytesIO()
        np.save(buffer, segment, allow_pickle=False)
        content = buffer.getvalue()
        path = self.folder / f"{_name(content)}.npy"
        write_bytes(path, content)
        self._remember(path, segment["key"])
        self._new.clear()

    def take(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the rows of `keys`, (N, width) float32."""
        rows = np.empty((len(keys), self.width), np.float32)
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            if key in self._new:
                rows[place] = self._new[key]
                continue
            number = self._places.get(key)
            if number is None:
                raise KeyError(key)
            segment, row = divmod(number, MOST_ROWS)
            wanted.setdefault(self._segments[segment], []).append((place, row))
        for path, pairs in wanted.items():
            places, found = zip(*pairs, strict=True)
            segment = np.load(path, mmap_mode="r", allow_pickle=False)
            rows[list(places)] = segment["value"][list(found)]
        return rows

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        if _name(content) != path.stem:
            self.damaged.append(path)
            return
        try:
            segment = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError):
            self.damaged.append(path)
            return
        if segment.dtype != self._type or segment.ndim != 1:
            self.damaged.append(path)
            return
        self._remember(path, segment["key"])

    def _remember(self, path: Path, keys: NDArray[np.uint8]) -> None:
        first = len(self._segments) * MOST_ROWS
        self._segments.append(path)
        self._places.add(keys, np.arange(first, first + len(keys)))


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
