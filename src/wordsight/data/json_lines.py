"""JSON lines: one object a line."""

import json
from pathlib import Path
from typing import Any, cast

from wordsight.data.encodings import decode
from wordsight.data.rows import BadRow, Row, Table, bad_row, read_content
from wordsight.errors import DataError


def read_json_lines(path: Path) -> Table:
    """Read a file with one JSON object a line; blank lines are passed over, but counted.

    Raises:
        InputError: if there is no such file.
        DataError: if it cannot be read or decoded, or no line holds an object.
    """
    text, encoding = decode(read_content(path), name=path.name)
    rows: list[Row | BadRow] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # U+2028 is text, not a line break
        if line.strip():
            row = _row(number, line, path.name)
            rows.append(row)
            if isinstance(row, Row):
                columns.update(dict.fromkeys(row.cells))
    if not columns:
        first = rows[0] if rows else None
        why = f"; line {first.row}: {first.reason}" if isinstance(first, BadRow) else ""
        raise DataError(
            f"{path.name}: no line holds a JSON object with a value{why}",
            hint='a line looks like {"image": "a.jpg", "text": "a cat"}',
        )
    return Table(path.name, path.parent, tuple(columns), rows, encoding)


def _row(number: int, line: str, name: str) -> Row | BadRow:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        return bad_row(number, name, f"not JSON: {error.msg} at column {error.colno}", line)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits; 100,000 brackets
        return bad_row(number, name, f"JSON that cannot be read: {error}", line)
    if not isinstance(value, dict):
        return bad_row(number, name, "not a JSON object", line)
    cells = cast(dict[str, object], value)
    if r"\ud" in line.lower() and not _is_unicode(cells):
        return bad_row(number, name, "half of a surrogate pair, which no encoding can write", line)
    return Row(number, name, cells)


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
