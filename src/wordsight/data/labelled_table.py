"""Labelled pictures in a table: path, class, and perhaps the part and the group of each."""

import os
from pathlib import Path
from typing import cast

from wordsight.data.cells import as_list, as_text, text_problem
from wordsight.data.columns import LabelColumns, choose_label_columns
from wordsight.data.labelled_pictures import Part
from wordsight.data.labelled_rows import LabelledRows, class_name, part_hint, part_of
from wordsight.data.labelled_toml import SetTable
from wordsight.data.locations import Locator
from wordsight.data.pairs import matching_rows
from wordsight.data.rows import BadRow, Row, Table, bad_row, writable
from wordsight.errors import DataError


def read_labelled_table(table: Table, settings: SetTable) -> LabelledRows:
    """Read the rows of a table.

    A row that repeats an earlier one is dropped. Where a picture may have several classes, they
    stand in one cell or in several rows.

    Raises:
        ConfigError: if a named column is not in the table.
        DataError: if a column cannot be told, a part is unknown, or a picture has two classes,
            two parts or two groups.
    """
    columns = choose_label_columns(
        table,
        image=settings.image_column,
        label=settings.label_column,
        split=settings.split_column,
        group=settings.group_column,
    )
    collector = _Collector(table, columns, settings)
    for row in matching_rows(table, settings.where):
        if isinstance(row, BadRow):
            collector.bad.append(row)
        else:
            collector.add(row)
    return collector.rows()


class _Collector:
    """Checked pictures and bad rows, as they come."""

    def __init__(self, table: Table, columns: LabelColumns, settings: SetTable):
        self.table, self.columns, self.settings = table, columns, settings
        self.bad: list[BadRow] = []
        self._paths: dict[str, Path] = {}
        self._labels: dict[str, dict[str, None]] = {}
        self._places: dict[str, tuple[int, Part, str]] = {}
        self._locator = Locator(table.root)

    def add(self, row: Row) -> None:
        """Keep a row, or the reason why it cannot be used."""
        name = row.cells.get(self.columns.image)
        reason = text_problem(name)
        path = None if reason else self._locator.find(cast(str, name))
        if path is None:
            self._reject(row, f"picture: {reason or 'no such file'}", name)
            return
        labels, problem = self._classes(row)
        if problem:
            self._reject(row, f"class: {problem}", row.cells.get(self.columns.label))
            return
        part = self._part(row)
        if part is None:
            self._reject(row, "part of the data: the text is empty", name)
            return
        key = _key(path, self.table.root)
        group = as_text(row.cells.get(self.columns.group)) if self.columns.group else ""
        self._keep(key, path, labels, (row.number, part, group or key))

    def rows(self) -> LabelledRows:
        """Return all that was kept."""
        return LabelledRows(
            self.table.name,
            keys=list(self._paths),
            images=list(self._paths.values()),
            labels=[tuple(names) for names in self._labels.values()],
            parts=[part for _, part, _ in self._places.values()],
            groups=[group for _, _, group in self._places.values()] if self.columns.group else None,
            bad=self.bad,
        )

    def _keep(self, key: str, path: Path, labels: list[str], place: tuple[int, Part, str]) -> None:
        number, part, group = place
        if key not in self._paths:
            self._paths[key] = path
            self._labels[key] = dict.fromkeys(labels)
            self._places[key] = place
            return
        first, first_part, first_group = self._places[key]
        here = f"{self.table.name}: {key} is in row {first} and in row {number}"
        if part != first_part:
            raise DataError(f"{here}, as {first_part} and as {part}: nothing may be both")
        if group != first_group:
            raise DataError(f"{here}, in group {first_group!r} and in group {group!r}")
        if not self.settings.multi_label and labels != list(self._labels[key]):
            raise DataError(
                f"{here}, as {next(iter(self._labels[key]))!r} and as {labels[0]!r}",
                hint="a picture that has several classes needs multi_label = true in [set]",
            )
        self._labels[key].update(dict.fromkeys(labels))

    def _classes(self, row: Row) -> tuple[list[str], str]:
        cell = row.cells.get(self.columns.label)
        if self.settings.multi_label:
            return self._several(cell)
        values = as_list(cell)
        if len(values) != 1:
            return [], f"{len(values)} classes in one cell, expected one"
        value = class_name(as_text(values[0]))
        return [value], text_problem(value)

    def _several(self, cell: object) -> tuple[list[str], str]:
        """Return the classes of a cell, none if it is empty, and why it cannot be used."""
        text = cell.split(self.settings.separator) if isinstance(cell, str) else cell
        entries = as_list(text)
        names = [class_name(as_text(entry)) for entry in entries if as_text(entry)]
        problems = [problem for name in names if (problem := text_problem(name))]
        return names, "".join(problems[:1])

    def _part(self, row: Row) -> Part | None:
        if self.columns.split is None:
            return self.settings.part
        name = as_text(row.cells.get(self.columns.split))
        part = part_of(name)
        if name and part is None:
            raise DataError(
                f"{self.table.name}: row {row.number}: {name!r} in column {self.columns.split!r} "
                "is no part of the data",
                hint=part_hint(),
            )
        return part

    def _reject(self, row: Row, reason: str, value: object) -> None:
        self.bad.append(bad_row(row.number, row.source, reason, value))


def _key(path: Path, root: Path) -> str:
    plain = Path(os.path.normpath(path))  # a/../b.jpg and b.jpg are one picture
    base = Path(os.path.normpath(root))
    return writable((plain.relative_to(base) if plain.is_relative_to(base) else plain).as_posix())
