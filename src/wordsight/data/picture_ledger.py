"""Which pictures a file of vectors holds, and which it shall hold: on disk, so that memory is flat.

A scratch database (SQLite, from the standard library) of one run; nothing in it outlives the run,
so it keeps no journal and syncs nothing.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wordsight.data.embedding_table import PictureRecord
from wordsight.errors import DataError

CACHE_KIB = 2048
SETTINGS = f"""
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB};
CREATE TABLE old (row INTEGER PRIMARY KEY, path TEXT, sha256 TEXT, size INTEGER, modified INTEGER);
CREATE TABLE new (row INTEGER PRIMARY KEY, path TEXT, sha256 TEXT, size INTEGER, modified INTEGER);
CREATE INDEX old_path ON old (path);
CREATE INDEX old_sha256 ON old (sha256);
BEGIN;
"""
PLACED = """
SELECT path, sha256, size, modified,
    (SELECT max(row) - 1 FROM old WHERE old.sha256 = new.sha256),
    (SELECT max(row) - 1 FROM old WHERE old.path = new.path)
FROM new ORDER BY row
"""
COMMON = """
SELECT count(*) FROM new JOIN old USING (row)
WHERE (new.path, new.sha256, new.size, new.modified)
    = (old.path, old.sha256, old.size, old.modified)
"""
KNOWN = """
SELECT path, sha256, size, modified FROM old WHERE path = ? ORDER BY row DESC LIMIT 1
"""
ADD_OLD = "INSERT INTO old (path, sha256, size, modified) VALUES (?, ?, ?, ?)"
ADD_NEW = "INSERT INTO new (path, sha256, size, modified) VALUES (?, ?, ?, ?)"
REMOVED = "SELECT count(DISTINCT path) FROM old WHERE path NOT IN (SELECT path FROM new)"


@dataclass(frozen=True, slots=True)
class PlacedPicture:
    """A picture of the new file, and where the old one has what is known of it."""

    record: PictureRecord
    vector_row: int | None
    """Row of the old file with the vector of this content."""
    path_row: int | None
    """Row of the old file of this path."""


class PictureLedger:
    """The pictures of the old file and of the new one; get one from `open_ledger`."""

    def __init__(self, database: sqlite3.Connection):
        self._database = database

    def remember(self, records: Iterable[PictureRecord]) -> None:
        """Note what the old file holds, row by row."""
        self._database.executemany(ADD_OLD, map(_cells, records))

    def add(self, records: Iterable[PictureRecord]) -> None:
        """Note the next rows of the new file."""
        self._database.executemany(ADD_NEW, map(_cells, records))

    def known(self, path: str) -> PictureRecord | None:
        """Return what the old file says of a picture."""
        cells = self._database.execute(KNOWN, (path,)).fetchone()
        return PictureRecord(*cells) if cells else None

    def has_vector(self, sha256: str) -> bool:
        """Say whether the old file has the vector of a content."""
        found = self._database.execute("SELECT 1 FROM old WHERE sha256 = ? LIMIT 1", (sha256,))
        return found.fetchone() is not None

    def __len__(self) -> int:
        return self._count("SELECT count(*) FROM new")

    @property
    def is_unchanged(self) -> bool:
        """Whether the new file would be the old one."""
        return len(self) == self._count("SELECT count(*) FROM old") == self._count(COMMON)

    @property
    def num_removed(self) -> int:
        """Number of pictures of the old file that the new one does not hold."""
        return self._count(REMOVED)

    def batches(self, size: int) -> Iterator[list[PlacedPicture]]:
        """Yield the pictures of the new file, `size` at a time."""
        found = self._database.execute(PLACED)
        while cells := found.fetchmany(size):
            yield [PlacedPicture(PictureRecord(*row[:4]), *row[4:]) for row in cells]

    def _count(self, question: str) -> int:
        return int(self._database.execute(question).fetchone()[0])


def _cells(record: PictureRecord) -> tuple[str, str, int, int]:
    return record.path, record.sha256, record.size, record.modified


@contextmanager
def open_ledger(path: Path) -> Generator[PictureLedger]:
    """Make a ledger at `path`, which is removed at the end; what a killed run left there, before.

    Raises:
        DataError: if the disk is full or fails.
    """
    path.unlink(missing_ok=True)
    try:
        # Who may write in this folder is settled; some network disks cannot lock files.
        database = sqlite3.connect(f"{path.absolute().as_uri()}?nolock=1", uri=True)
        try:
            database.isolation_level = None
            database.executescript(SETTINGS)
            yield PictureLedger(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise DataError(
            f"{path}: cannot be written: {error}", hint="is there room on the disk?"
        ) from None
    finally:
        path.unlink(missing_ok=True)
