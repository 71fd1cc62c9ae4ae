"""The Parquet file of `wordsight embed`: pictures by path, what they were, and their vectors.

    path       text     relative to the folder of the file, or absolute for pictures outside it
    folder     text     of the picture, likewise
    sha256     text     of its bytes
    size       int64    in bytes
    modified   int64    in nanoseconds since 1970
    embedding  list of E float32

Columns that others add to it are kept. The metadata of the file, under "wordsight", is a JSON
object that says which model made the vectors.

Shape letters: N pictures, E embedding width.
"""

import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordsight.config import from_dict, nearest
from wordsight.errors import ConfigError, DataError, InputError
from wordsight.packages import require

KEY = b"wordsight"
EMBEDDING = "embedding"
TEXTS = ("path", "folder", "sha256")
NUMBERS = ("size", "modified")
OWN = (*TEXTS, *NUMBERS, EMBEDDING)
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedBy:
    """Which model made the vectors of a file."""

    schema: int = 1
    name: str
    source: str
    """What the model was opened by."""
    checksum: str
    engine: str
    embed_dim: int


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """A picture as it was when its vector was computed."""

    path: str
    sha256: str
    size: int
    modified: int

    @property
    def folder(self) -> str:
        """Folder of the picture; "." is that of the file."""
        return Path(self.path).parent.as_posix()


class EmbeddingTable:
    """An opened file; get one from `open_embeddings`."""

    def __init__(self, path: Path, file: Any, made_by: EmbeddedBy):
        self.path = path
        self.made_by = made_by
        self._file = file
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._group: tuple[int, NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def columns(self) -> list[str]:
        """Names of all columns but that of the vectors."""
        return [name for name in self._file.schema_arrow.names if name != EMBEDDING]

    def values(self, name: str) -> list[Any]:
        """Return a column.

        Raises:
            InputError: if there is none of that name.
        """
        column = self.column(name)
        with _damage(self.path):
            return column.to_pylist()

    def column(self, name: str) -> Any:
        """Return a column as pyarrow holds it."""
        if name not in self.columns:
            raise InputError(
                f"{self.path}: has no column {name!r}; it has {', '.join(self.columns)}",
                hint=nearest(name, self.columns),
            )
        with _damage(self.path):
            return self._file.read(columns=[name]).column(0)

    def records(self) -> Iterator[PictureRecord]:
        """Yield what the pictures were."""
        names = ["path", "sha256", "size", "modified"]
        with _damage(self.path):
            for batch in self._file.iter_batches(ROWS_AT_ONCE, columns=names):
                cells = (batch.column(name).to_pylist() for name in names)
                yield from map(PictureRecord, *cells)

    def locations(self) -> list[str]:
        """Return the paths as they are to be opened from here."""
        before = str(self.path.parent / "x")[:-1]
        paths: list[str] = self.values("path")
        if os.sep != "/":
            return [str(self.path.parent / path) for path in paths]
        return [path if path.startswith("/") else before + path for path in paths]

    def vectors(self) -> NDArray[np.float32]:
        """Read all vectors, (N, E)."""
        rows = np.empty((len(self), self.made_by.embed_dim), np.float32)
        for start, group in zip(self._starts, self.groups(), strict=False):
            rows[start : start + len(group)] = group
        return rows

    def groups(self) -> Iterator[NDArray[np.float32]]:
        """Read all vectors, some thousand at a time."""
        return (self._read(group) for group in range(self._file.num_row_groups))

    def take(self, places: Sequence[int]) -> NDArray[np.float32]:
        """Read some vectors; those that lie near each other are read together."""
        rows = np.empty((len(places), self.made_by.embed_dim), np.float32)
        wanted = np.asarray(places, np.int64)
        groups = np.searchsorted(self._starts, wanted, side="right") - 1
        for group in np.unique(groups):
            own = groups == group
            if self._group is None or self._group[0] != group:
                self._group = int(group), self._read(int(group))
            rows[own] = self._group[1][wanted[own] - self._starts[group]]
        return rows

    def _read(self, group: int) -> NDArray[np.float32]:
        with _damage(self.path):
            cells = self._file.read_row_group(group, columns=[EMBEDDING]).column(0)
            flat = cells.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        width = self.made_by.embed_dim
        if flat.dtype != np.float32 or flat.size != width * len(cells):
            raise DataError(f"{self.path}: its vectors are not {width} float32 numbers each")
        return flat.reshape(-1, width)


@contextmanager
def open_embeddings(path: Path) -> Generator[EmbeddingTable]:
    """Open a file of `wordsight embed` for reading.

    Raises:
        MissingError: if pyarrow is not installed.
        InputError: if there is no such file.
        DataError: if it is damaged, or not of `wordsight embed`.
    """
    parquet = require("pyarrow.parquet", extra="parquet")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file", hint="wordsight embed PHOTOS --out FILE")
    with _damage(path):
        file = parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    with file:
        yield EmbeddingTable(path, file, _made_by(path, file.schema_arrow))


def _made_by(path: Path, schema: Any) -> EmbeddedBy:
    missing = [name for name in OWN if name not in schema.names]
    metadata = cast(dict[bytes, bytes], schema.metadata or {})
    entry = metadata.get(KEY)
    if entry is None or missing:
        lack = (
            f"it has no column {missing[0]!r}" if missing else "it does not say which model made it"
        )
        raise DataError(
            f"{path}: not a file of wordsight embed: {lack}",
            hint="other tools drop the metadata: keep the key 'wordsight' of the schema",
        )
    types = require("pyarrow", extra="parquet").types
    wrong = [one for one in TEXTS if not _is_text(types, schema.field(one).type)]
    wrong += [one for one in NUMBERS if not types.is_integer(schema.field(one).type)]
    wrong += [one for one in (EMBEDDING,) if not _is_list(types, schema.field(one).type)]
    if wrong:
        kind = schema.field(wrong[0]).type
        raise DataError(f"{path}: its column {wrong[0]!r} is of another type: {kind}")
    try:
        return from_dict(EmbeddedBy, json.loads(entry), where=f"{path}: wordsight")
    except (ValueError, TypeError, ConfigError) as error:
        raise DataError(f"{path}: its metadata cannot be read: {error}") from None


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_list(types: Any, kind: Any) -> bool:
    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(one(kind) for one in kinds) and bool(types.is_float32(kind.value_type))


@contextmanager
def _damage(path: Path) -> Generator[None]:
    arrow = require("pyarrow", extra="parquet")
    try:
        yield
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: damaged, or no Parquet file: {first}",
            hint="remove it and run wordsight embed again",
        ) from None
