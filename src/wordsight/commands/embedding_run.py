"""One run of `wordsight embed` over all pictures, in the memory of some hundred.

Shape letters: N pictures, E embedding width.
"""

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.data.embedding_file import GROUP_ROWS, Group, write_embeddings
from wordsight.data.embedding_table import OWN, EmbeddedBy, EmbeddingTable, PictureRecord
from wordsight.data.picture_ledger import PictureLedger, PlacedPicture
from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.model import Model
from wordsight.errors import DataError, ImageError
from wordsight.images import ImageLimits
from wordsight.packages import require

CHUNK = 512
"""Pictures after which vectors go to disk; a killed run loses at most so many."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number of all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """What became of the pictures."""

    path: Path
    num_pictures: int
    num_encoded: int
    num_removed: int
    """Pictures of the old file that are gone, or no longer asked for."""
    unreadable: tuple[tuple[str, str], ...]
    """Path and reason of each picture left out."""

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.path),
            "pictures": self.num_pictures,
            "encoded": self.num_encoded,
            "removed": self.num_removed,
            "unreadable": [{"path": path, "error": reason} for path, reason in self.unreadable],
        }


class EmbeddingRun:
    """One run over all pictures."""

    def __init__(
        self,
        model: Model,
        made_by: EmbeddedBy,
        out: Path,
        old: EmbeddingTable | None,
        store: FeatureStore,
        ledger: PictureLedger,
    ):
        self.model, self.made_by, self.out = model, made_by, out
        self.old, self.store, self.ledger = old, store, ledger
        self.reasons: dict[str, str] = {}
        """Why the picture with a checksum cannot be read."""
        self.num_encoded = 0

    def run(self, paths: Sequence[Path], progress: Progress | None) -> Embedded:
        """Encode what is new, then write the file if anything changed."""
        if self.old is not None:
            self.ledger.remember(self.old.records())
        unreadable: list[tuple[str, str]] = []
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            found = [(path, self._record(path)) for path in chunk]
            self._encode(found, _from(progress, start, len(paths)))
            good: list[PictureRecord] = []
            for path, record in found:
                reason = record if isinstance(record, str) else self.reasons.get(record.sha256, "")
                if reason:
                    unreadable.append((str(path), reason.removeprefix(f"{path}: ")))
                elif isinstance(record, PictureRecord):
                    good.append(record)
            self.ledger.add(good)
            if progress:
                progress("pictures", start + len(chunk), len(paths))
        if not len(self.ledger):
            raise DataError(
                f"none of {len(paths)} pictures can be read: {unreadable[0][0]}: {unreadable[0][1]}"
            )
        if not self.ledger.is_unchanged:
            self._write()
        return Embedded(
            path=self.out,
            num_pictures=len(self.ledger),
            num_encoded=self.num_encoded,
            num_removed=self.ledger.num_removed,
            unreadable=tuple(unreadable),
        )

    def _record(self, path: Path) -> PictureRecord | str:
        """Return what a picture is now, or why it cannot be read."""
        name = _stored_path(path, self.out.parent)
        try:
            name.encode()
            if not path.is_file():
                return "is no file, or is gone"
            status = path.stat()
            known = self.ledger.known(name)
            if known and (known.size, known.modified) == (status.st_size, status.st_mtime_ns):
                return known
            if status.st_size > ImageLimits().max_bytes:
                return f"the file has more than {ImageLimits().max_bytes} bytes"
            digest = content_key(path.read_bytes()).hex()
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        except UnicodeEncodeError:
            return "its name is not UTF-8, and the file can hold no other"
        return PictureRecord(name, digest, status.st_size, status.st_mtime_ns)

    def _encode(
        self,
        found: Sequence[tuple[Path, PictureRecord | str]],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        wanted: dict[str, Path] = {}
        for path, record in found:
            if isinstance(record, PictureRecord) and not self._is_known(record.sha256):
                wanted.setdefault(record.sha256, path)
        if not wanted:
            return
        digests = list(wanted)
        encoded = self.model.encode_image_files(list(wanted.values()), progress=progress)
        for place, error in encoded.errors:
            self.reasons[digests[place]] = _reason(error, wanted[digests[place]])
        pairs = zip(encoded.indices, encoded.embeddings, strict=True)
        self.store.add({bytes.fromhex(digests[place]): row for place, row in pairs})
        self.store.flush()
        self.num_encoded += len(encoded.indices)

    def _is_known(self, digest: str) -> bool:
        return (
            digest in self.reasons
            or bytes.fromhex(digest) in self.store
            or self.ledger.has_vector(digest)
        )

    def _write(self) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        names = [name for name in self.old.columns if name not in OWN] if self.old else []
        columns = {name: self.old.column(name) for name in names} if self.old else {}
        types = {name: column.type for name, column in columns.items()}
        groups = self._groups(list(columns.values()))
        write_embeddings(self.out, self.made_by, groups, extra=types)

    def _groups(self, columns: Sequence[Any]) -> Generator[Group]:
        """Yield all pictures with their vectors, and the columns that others added."""
        arrow = require("pyarrow", extra="parquet")
        for pictures in self.ledger.batches(GROUP_ROWS):
            places = arrow.array([picture.path_row for picture in pictures], arrow.int64())
            extra = [column.take(places).combine_chunks() for column in columns]
            yield Group([one.record for one in pictures], self._vectors(pictures), extra)

    def _vectors(self, pictures: Sequence[PlacedPicture]) -> NDArray[np.float32]:
        rows = np.empty((len(pictures), self.made_by.embed_dim), np.float32)
        old = [one.vector_row for one in pictures if one.vector_row is not None]
        is_old = np.array([one.vector_row is not None for one in pictures])
        if self.old is not None and old:
            rows[is_old] = self.old.take(old)
        new = [bytes.fromhex(one.record.sha256) for one in pictures if one.vector_row is None]
        rows[~is_old] = self.store.take(new)
        return rows


def _stored_path(path: Path, folder: Path) -> str:
    """Write a path so that pictures and file can be moved together."""
    whole, base = Path(os.path.abspath(path)), Path(os.path.abspath(folder))  # noqa: PTH100 - must not follow links
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _from(progress: Progress | None, start: int, of: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, _: progress("pictures", start + done, of)


def _reason(error: ImageError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
