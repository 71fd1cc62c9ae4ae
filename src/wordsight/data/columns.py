"""Which column of a table holds the pictures, and which the sentences or classes."""

import importlib.resources
import unicodedata
from typing import NamedTuple, cast

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
        _check_readable(table, column)
    return image, text


class LabelColumns(NamedTuple):
    """Columns of a table of labelled pictures; None for what it does not say."""

    image: str
    label: str
    split: str | None
    group: str | None


def choose_label_columns(
    table: Table, *, image: str | None, label: str | None, split: str | None, group: str | None
) -> LabelColumns:
    """Return the names of the columns of picture, class, part and group.

    A column that is named must exist. Otherwise exactly one must have a name that `columns.toml`
    knows; there need not be one of part and group.

    Raises:
        ConfigError: if a named column is not in the table, or one is named for two things.
        DataError: if no column or several columns could be meant, or the chosen one holds
            neither text nor numbers.
    """
    known = _known_names()
    chosen = {
        "image": _choose(table, "image", image, [known["image"]], in_set=True),
        "label": _choose(table, "label", label, [known["label"]], in_set=True),
    }
    for role, given in (("split", split), ("group", group)):
        is_there = any(_plain(column) in known[role] for column in table.columns)
        if given is not None or is_there:
            chosen[role] = _choose(table, role, given, [known[role]], in_set=True)
    for role, column in chosen.items():
        _check_readable(table, column)
        other = next(name for name, taken in chosen.items() if taken == column)
        if other != role:
            raise ConfigError(f"{table.name}: {column!r} cannot be both {other} and {role} column")
    return LabelColumns(chosen["image"], chosen["label"], chosen.get("split"), chosen.get("group"))


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


def _check_readable(table: Table, column: str) -> None:
    if column in table.unread:
        raise DataError(
            f"{table.name}: column {column!r} holds {table.unread[column]}, expected text",
            hint="pictures are given by their paths, sentences as text or lists of text",
        )


def _choose(
    table: Table, role: str, given: str | None, tiers: list[list[str]], *, in_set: bool = False
) -> str:
    if given is not None:
        if given not in table.columns:
            raise ConfigError(
                f"{table.name}: no column {given!r} for {_option(role, in_set)}",
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
        hint=f"name it: {_option(role, in_set, found[0] if found else 'NAME')}",
    )


def _option(role: str, in_set: bool, column: str = "") -> str:
    """Return how a user names a column: on the command line, or in a description of a set."""
    if in_set:
        return f'{role}_column = "{column}" in [set]' if column else f"{role}_column in [set]"
    return f"--{role}-column {column}".strip()


def _plain(column: str) -> str:
    plain = unicodedata.normalize("NFKC", column).casefold().strip()
    return plain.replace(" ", "_").replace("-", "_")
