"""What every reader of pairs hands on: rows of named cells, and the rows it could not use."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wordsight.errors import DataError, InputError

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not used, and why."""

    row: int
    """Row as a spreadsheet shows it (header = 1), or line of the file; 0 for a whole file."""
    source: str
    """Name of the file."""
    reason: str
    value: str
    """The offending value, at most 200 characters of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One parsed row; its values are not checked yet."""

    number: int
    source: str
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """Parsed rows; picture paths in them are relative to `root`."""

    name: str
    root: Path
    columns: tuple[str, ...]
    rows: list[Row | BadRow]
    encoding: str
    unread: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns whose values are neither text nor numbers, with the type they have."""


def writable(text: str) -> str:
    """Return text that UTF-8 can hold; file names on disk may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def bad_row(row: int, source: str, reason: str, value: object) -> BadRow:
    """Build a BadRow whose value is short and can be written as UTF-8."""
    shown = writable(value if isinstance(value, str) else repr(value))
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[: SHOWN_CHARACTERS - 3] + "..."
    return BadRow(row, writable(source), reason, shown)


def rejected_line(bad: BadRow) -> str:
    """Return the line of `rejected.jsonl` for a bad row; equal rows give equal bytes."""
    record = {"source": bad.source, "row": bad.row, "reason": bad.reason, "value": bad.value}
    return json.dumps(record, ensure_ascii=False)


def read_content(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        InputError: if there is no such file.
        DataError: if the system refuses to read it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
