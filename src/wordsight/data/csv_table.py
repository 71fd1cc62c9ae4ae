"""CSV and TSV tables, read so that a broken row costs no other row."""

import csv
import io
from collections.abc import Generator
from pathlib import Path

from wordsight.data.encodings import decode
from wordsight.data.rows import BadRow, Row, Table, bad_row, read_content
from wordsight.errors import DataError

SEPARATORS = (",", ";", "\t")
MAX_RECORD_LINES = 200  # bounds what one unclosed quote makes the parser read twice


def read_csv(path: Path) -> Table:
    """Read a table whose first row that is not blank holds the column names.

    A `.tsv` is separated by tabs. Otherwise the separator is the one of comma, semicolon and tab
    that cuts the header into most columns; the earlier of these wins a tie. Row numbers are those
    of a spreadsheet: the header is row 1, blank rows count, line breaks inside quotes do not.
    After a row whose quotes are wrong, reading goes on with the next line.

    Raises:
        InputError: if there is no such file.
        DataError: if it cannot be read or decoded, or has no usable header.
    """
    text, encoding = decode(read_content(path), name=path.name)
    lines = io.StringIO(text, newline="").readlines()  # splits at \n, \r\n and \r, nothing else
    separator = "\t" if path.suffix.lower() == ".tsv" else _sniff(lines)
    records = _records(lines, separator, path.name)
    header = next((cells for _, cells in records if not _is_blank(cells)), None)
    columns = _columns(header, path.name)
    rows: list[Row | BadRow] = []
    for number, cells in records:
        if isinstance(cells, BadRow):
            rows.append(cells)
        elif not _is_blank(cells):
            rows.append(_row(number, cells, columns, path.name))
    return Table(path.name, path.parent, tuple(filter(None, columns)), rows, encoding)


class _Lines:
    """Lines for csv.reader: at most MAX_RECORD_LINES of them to one record, and able to go back."""

    def __init__(self, lines: list[str]):
        self.lines = lines
        self.record_start = 0
        self.position = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        is_long = self.position - self.record_start >= MAX_RECORD_LINES
        if is_long or self.position >= len(self.lines):
            raise StopIteration
        self.position += 1
        return self.lines[self.position - 1]


def _records(
    lines: list[str], separator: str, name: str
) -> Generator[tuple[int, list[str] | BadRow]]:
    """Yield the number and the cells of every record, blank ones too."""
    feed, number = _Lines(lines), 0
    reader = csv.reader(feed, delimiter=separator, strict=True, skipinitialspace=True)
    while feed.position < len(lines):
        feed.record_start = feed.position
        number += 1
        try:
            yield number, next(reader)
        except csv.Error as error:
            line = lines[feed.record_start].rstrip("\r\n")
            yield number, bad_row(number, name, f"not a row of a table: {error}", line)
            feed.position = feed.record_start + 1


def _is_blank(cells: list[str] | BadRow) -> bool:
    return isinstance(cells, list) and not any(cell.strip() for cell in cells)


def _sniff(lines: list[str]) -> str:
    header = next((line for line in lines if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: _num_columns(header, separator))


def _num_columns(header: str, separator: str) -> int:
    reader = csv.reader([header], delimiter=separator, skipinitialspace=True)
    try:
        return max(map(len, reader), default=0)
    except csv.Error:  # a first line of 131,072 characters: no header, whatever the separator
        return 0


def _columns(header: list[str] | BadRow | None, name: str) -> list[str]:
    hint = "the first row must hold the names of the columns, such as: path,caption"
    if header is None:
        raise DataError(f"{name}: the table is empty", hint=hint)
    if isinstance(header, BadRow):
        raise DataError(f"{name}: the first row is {header.reason}: {header.value!r}", hint=hint)
    columns = [cell.strip() for cell in header]
    if any("\0" in column for column in columns):
        raise DataError(
            f"{name}: the first row has NUL characters: not a text table, or UTF-16 without a mark",
            hint="save the file as UTF-8",
        )
    check_names(columns, name)
    return columns


def check_names(columns: list[str], name: str) -> None:
    """Refuse two columns of one name; columns without a name are never read.

    Raises:
        DataError: with the first name that occurs twice.
    """
    for column in columns:
        if column and columns.count(column) > 1:
            raise DataError(
                f"{name}: {columns.count(column)} columns are called {column!r}",
                hint="give every column a name of its own",
            )


def _row(number: int, cells: list[str], columns: list[str], name: str) -> Row | BadRow:
    if len(cells) != len(columns):
        reason = f"it has {len(cells)} columns, the header has {len(columns)}"
        return bad_row(number, name, reason, " | ".join(cells))
    return Row(
        number, name, {column: c for column, c in zip(columns, cells, strict=True) if column}
    )
