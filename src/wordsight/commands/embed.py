"""Vectors of pictures in one file that can be brought up to date at any time.

Shape letters: N pictures, E embedding width.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.data.embedding_table import (
    GROUP_ROWS,
    OWN,
    EmbeddedBy,
    EmbeddingTable,
    PictureRecord,
    open_embeddings,
    write_embeddings,
)
from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.loading import HUB, SHIPPED
from wordsight.engine.model import Model
from wordsight.errors import DataError, ImageError, InputError
from wordsight.evaluation.vectors import model_checksum
from wordsight.images import ImageLimits
from wordsight.locks import locked
from wordsight.packages import require

SUFFIX = ".parquet"
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


def embed(
    model: Model,
    paths: Sequence[Path],
    out: str | Path,
    *,
    source: str = "",
    progress: Progress | None = None,
) -> Embedded:
    """Bring the vectors of a file up to date: only new and changed pictures are encoded.

    A picture is looked at again if its size or time of change is another; it is encoded if its
    content is. The old file stays until the new one is whole. Vectors go to a hidden folder beside
    it after every 512 pictures, from which a killed run goes on.

    Args:
        model: what `wordsight.load` returns.
        paths: all pictures that the file shall hold.
        out: the file; its name ends in .parquet.
        source: what the model can be opened by; its folder if not given.
        progress: called after every batch.

    Raises:
        MissingError: if pyarrow is not installed.
        InputError: if `out` is another kind of file, or of another model.
        DataError: if `out` is damaged, or no picture can be read.
        BusyError: if another process is writing it.
    """
    out = Path(out)
    if out.suffix.lower() != SUFFIX:
        raise InputError(f"{out}: its name must end in {SUFFIX}", hint=f"--out {out.stem}{SUFFIX}")
    require("pyarrow", extra="parquet")
    made_by = describe(model, source)
    journal = out.parent / f".{out.name}.journal"
    with locked(journal), ExitStack() as opened:
        old = opened.enter_context(open_embeddings(out)) if out.exists() else None
        if old is not None:
            refuse_other_model(old.made_by, made_by, old.path)
        store = FeatureStore(journal / model_checksum(model), model.embed_dim, precision="float32")
        return _Run(model, made_by, out, old, store, journal).run(paths, progress)


def describe(model: Model, source: str = "") -> EmbeddedBy:
    """Say which model it is, and what it can be opened by from any folder."""
    is_name = source in SHIPPED or source.startswith(HUB)
    return EmbeddedBy(
        name=model.name,
        source=source if is_name else os.path.abspath(source or model.source.path),  # noqa: PTH100 - must not follow links
        checksum=model_checksum(model, with_engine=False),
        engine=model.engine.name,
        embed_dim=model.embed_dim,
    )


def refuse_other_model(wanted: EmbeddedBy, given: EmbeddedBy, path: Path) -> None:
    """Refuse to mix the vectors of two models.

    Raises:
        InputError: if the checksums are different.
    """
    if wanted.checksum != given.checksum:
        raise InputError(
            f"{path}: its vectors are of the model {wanted.name} ({wanted.checksum[:12]}), not of "
            f"{given.name} ({given.checksum[:12]}); they cannot be compared",
            hint=f"give the model that made it, {wanted.source}; or embed into another file",
        )


class _Run:
    """One run over all pictures."""

    def __init__(
        self,
        model: Model,
        made_by: EmbeddedBy,
        out: Path,
        old: EmbeddingTable | None,
        store: FeatureStore,
        journal: Path,
    ):
        self.model, self.made_by, self.out = model, made_by, out
        self.old, self.store, self.journal = old, store, journal
        known = old.records() if old is not None else []
        self.known = {record.path: record for record in known}
        self.old_rows = {record.sha256: row for row, record in enumerate(known)}
        self.old_places = {record.path: row for row, record in enumerate(known)}
        self.reasons: dict[str, str] = {}
        """Why the picture with a checksum cannot be read."""
        self.num_encoded = 0

    def run(self, paths: Sequence[Path], progress: Progress | None) -> Embedded:
        """Encode what is new, then write the file if anything changed."""
        records: list[PictureRecord] = []
        unreadable: list[tuple[str, str]] = []
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            found = [(path, self._record(path)) for path in chunk]
            self._encode(found, _from(progress, start, len(paths)))
            for path, record in found:
                reason = record if isinstance(record, str) else self.reasons.get(record.sha256, "")
                if reason:
                    unreadable.append((str(path), reason.removeprefix(f"{path}: ")))
                elif isinstance(record, PictureRecord):
                    records.append(record)
            if progress:
                progress("pictures", start + len(chunk), len(paths))
        if not records:
            raise DataError(
                f"none of {len(paths)} pictures can be read: {unreadable[0][0]}: {unreadable[0][1]}"
            )
        if records != list(self.known.values()):
            self._write(records)
        self._forget_journal()
        return Embedded(
            path=self.out,
            num_pictures=len(records),
            num_encoded=self.num_encoded,
            num_removed=len(self.known.keys() - {record.path for record in records}),
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
            known = self.known.get(name)
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
            digest in self.old_rows or bytes.fromhex(digest) in self.store or digest in self.reasons
        )

    def _write(self, records: Sequence[PictureRecord]) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        extra = self._columns_of_others(records)
        write_embeddings(self.out, self.made_by, records, self._groups(records), extra=extra)

    def _columns_of_others(self, records: Sequence[PictureRecord]) -> dict[str, Any]:
        if self.old is None:
            return {}
        arrow = require("pyarrow", extra="parquet")
        places = arrow.array(
            [self.old_places.get(record.path) for record in records], arrow.int64()
        )
        names = [name for name in self.old.columns if name not in OWN]
        return {name: self.old.column(name).take(places) for name in names}

    def _groups(self, records: Sequence[PictureRecord]) -> Generator[NDArray[np.float32]]:
        for start in range(0, len(records), GROUP_ROWS):
            digests = [record.sha256 for record in records[start : start + GROUP_ROWS]]
            rows = np.empty((len(digests), self.made_by.embed_dim), np.float32)
            is_old = np.array([digest in self.old_rows for digest in digests])
            if self.old is not None and is_old.any():
                own = [self.old_rows[digest] for digest in digests if digest in self.old_rows]
                rows[is_old] = self.old.take(own)
            new = [bytes.fromhex(one) for one in digests if one not in self.old_rows]
            rows[~is_old] = self.store.take(new)
            yield rows

    def _forget_journal(self) -> None:
        for segment in self.journal.glob("*/*.npy"):
            segment.unlink(missing_ok=True)
        for folder in self.journal.glob("*/"):
            if not any(folder.iterdir()):
                folder.rmdir()


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
