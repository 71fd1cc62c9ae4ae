"""Which column of a table holds the pictures, and which the sentences."""

import importlib.resources
import unicodedata
from typing import cast

from wordsight.config import load_toml, nearest
from wordsight.data.rows import Table
from wordsight.errors import ConfigError, DataError


def choose_columns(
    table: Table, image_column: str | None, text_column: str | None
) -> tuple[str, str]:
    """Return the names of the image and the text column.

    A column that is named must exist. Otherwise exactly one column must have a name that
    `columns.toml` knows; names of classes count as text only where no name of a text is found.

    Raises:
        ConfigError: if a named column is not in the table, or both names are the same.
        DataError: if no column or several columns could be meant, or the chosen one holds
            neither text nor numbers.
    """
    known = _known_names()
    image = _choose(table, "image", image_column, [known["image"]])
    text = _choose(table, "text", text_column, [known["text"], known["label"]])
    if image == text:
        raise ConfigError(f"{table.name}: {image!r} cannot be both image and text column")
    for column in (image, text):
        if column in table.unread:
            raise DataError(
                f"{table.name}: column {column!r} holds {table.unread[column]}, expected text",
                hint="pictures are given by their paths, sentences as text or lists of text",
            )
    return image, text


def require_column(table: Table, column: str) -> None:
    """Refuse a column that the table does not have.

    Raises:
        ConfigError: with the nearest name, or all names.
    """
    if column not in table.columns or column in table.unread:
        readable = [name for name in table.columns if name not in table.unread]
        raise ConfigError(f"{table.name}: no column {column!r}", hint=nearest(column, readable))


def _known_names() -> dict[str, list[str]]:
    resource = importlib.resources.files("wordsight.data") / "columns.toml"
    with importlib.resources.as_file(resource) as path:
        return cast(dict[str, list[str]], load_toml(path))


def _choose(table: Table, role: str, given: str | None, tiers: list[list[str]]) -> str:
    if given is not None:
        if given not in table.columns:
            raise ConfigError(
                f"{table.name}: no column {given!r} for --{role}-column",
                hint=nearest(given, table.columns),
            )
        return given
    found: list[str] = []
    for names in tiers:
        found = [column for column in table.columns if _plain(column) in names]
        if found:
            break
    if len(found) == 1:
        return found[0]
    columns = ", ".join(repr(column) for column in table.columns)
    problem = f"{len(found)} columns could be" if found else "no column has a known name for"
    raise DataError(
        f"{table.name}: {problem} the {role} column; columns: {columns}",
        hint=f"name it: --{role}-column {found[0] if found else 'NAME'}",
    )


def _plain(column: str) -> str:
    plain = unicodedata.normalize("NFKC", column).casefold().strip()
    return plain.replace(" ", "_").replace("-", "_")
