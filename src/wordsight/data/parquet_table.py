"""Parquet tables, through pyarrow."""

import importlib
from pathlib import Path
from typing import Any

from wordsight.data.csv_table import check_names
from wordsight.data.rows import BadRow, Row, Table
from wordsight.errors import DataError, InputError, MissingError


def read_parquet(path: Path) -> Table:
    """Read the columns of text, numbers, and lists of text; the first record is row 1.

    Other columns (bytes of pictures, vectors) are left on disk and listed in `unread`.

    Raises:
        MissingError: if pyarrow is not installed.
        InputError: if there is no such file.
        DataError: if it is not a Parquet file, is damaged, or has two columns of one name.
    """
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingError(
            f"{path.name}: reading Parquet needs the package pyarrow",
            hint='pip install "wordsight[parquet]"',
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            check_names(list(schema.names), path.name)
            unread = {one.name: str(one.type) for one in schema if not _is_plain(arrow, one.type)}
            wanted = [name for name in schema.names if name not in unread]
            rows: list[Row | BadRow] = []
            for batch in file.iter_batches(columns=wanted):
                for cells in batch.to_pylist():
                    rows.append(Row(len(rows) + 1, path.name, cells))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path.name}: not a readable Parquet file: {first}") from None
    return Table(path.name, path.parent, tuple(schema.names), rows, "parquet", unread)


def _is_plain(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_text(types, kind.value_type)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(_is_text(types, kind) or is_number)


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
