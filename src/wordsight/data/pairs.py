"""Pairs of a picture and a sentence, read from whatever people keep them in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, overload

from wordsight.config import nearest
from wordsight.data.cells import as_list, as_text, text_problem
from wordsight.data.columns import choose_columns, require_column
from wordsight.data.locations import Locator
from wordsight.data.rows import BadRow, Row, Table, bad_row, rejected_line
from wordsight.data.sources import read_table
from wordsight.errors import ConfigError, DataError, InputError

SHOWN_BAD_ROWS = 5
SHOWN_VALUES = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and one sentence that describes it."""

    image: Path
    text: str
    row: int
    source: str


class Pairs(Sequence[Pair]):
    """Pairs in the order of their rows, with what was learnt while reading them.

    `columns[i]` holds the other columns of pair i as text, such as its split; `bad` every row that
    was not used; `duplicates` counts rows that said again what an earlier row had said; `root` is
    the folder that the pictures' names are relative to.
    """

    def __init__(
        self,
        pairs: Iterable[Pair],
        *,
        columns: Iterable[Mapping[str, str]] | None = None,
        bad: Iterable[BadRow] = (),
        duplicates: int = 0,
        encoding: str = "",
        root: Path = Path(),
    ):
        self._pairs = tuple(pairs)
        none: Mapping[str, str] = {}
        self.columns = tuple(columns) if columns is not None else (none,) * len(self._pairs)
        self.bad = tuple(bad)
        self.duplicates = duplicates
        self.encoding = encoding
        self.root = root
        if len(self.columns) != len(self._pairs):
            raise InputError(f"{len(self._pairs)} pairs, but columns for {len(self.columns)}")
        self.images = tuple(dict.fromkeys(pair.image for pair in self._pairs))
        """Every picture once, in the order of its first pair."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The sentence of every pair, repeated ones too."""
        return tuple(pair.text for pair in self._pairs)

    def subset(self, indices: Iterable[int]) -> "Pairs":
        """Return some of the pairs in the order given; bad rows and duplicates stay behind."""
        chosen = list(indices)
        return Pairs(
            (self._pairs[i] for i in chosen),
            columns=(self.columns[i] for i in chosen),
            encoding=self.encoding,
            root=self.root,
        )

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "Pair | Pairs":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        return self._pairs[index]


def read_pairs(
    source: str | Path,
    *,
    image_column: str | None = None,
    text_column: str | None = None,
    negative_column: str | None = None,
    where: Mapping[str, str] | None = None,
    max_bad: int = 0,
) -> Pairs:
    """Read pairs from a table, a folder with a table, or a folder of `x.jpg` with `x.txt`.

    A folder may hold one table (.csv, .tsv, .jsonl, .parquet); of several, the one called
    `pairs.*` is read, and `*rejected.jsonl` never is. Picture names are relative to the folder of
    the table. Rows in which a picture is missing or the sentence is empty are set aside in `bad`;
    a row that repeats the picture and the sentence of an earlier one is dropped and counted.

    Args:
        negative_column: column of sentences that are nearly true; rows that differ in it repeat
            nothing.
        where: keep only rows whose columns have these values, for example {"split": "train"};
            the others are not checked.
        max_bad: refuse the data when more rows than this cannot be used.

    Raises:
        InputError: if `source` is not there, or is no kind of file that holds pairs.
        ConfigError: if a named column or a value of `where` does not exist, or `max_bad` < 0.
        DataError: if nothing can be read, no pair is left, or more than `max_bad` rows are bad.
        MissingError: if the table is Parquet and pyarrow is not installed.
    """
    if max_bad < 0:
        raise ConfigError(f"max_bad is {max_bad}, expected 0 or more")
    table = read_table(Path(source))
    image, text = choose_columns(table, image_column, text_column)
    if negative_column:
        require_column(table, negative_column)
    collector = _Collector(table, image, text, negative_column)
    for row in matching_rows(table, where or {}):
        if isinstance(row, BadRow):
            collector.bad.append(row)
        else:
            collector.add(row)
    _check_budget(table, collector, max_bad)
    return Pairs(
        collector.pairs,
        columns=collector.columns,
        bad=collector.bad,
        duplicates=collector.duplicates,
        encoding=table.encoding,
        root=table.root,
    )


def rejected_lines(pairs: Pairs) -> list[str]:
    """Return one JSON line per bad row, in the order of the rows, to write as `rejected.jsonl`."""
    return [rejected_line(bad) for bad in pairs.bad]


def matching_rows(table: Table, where: Mapping[str, str]) -> list[Row | BadRow]:
    """Return the rows that have these values, and all that could not be parsed.

    Raises:
        ConfigError: if a column is not there, or no row has the value.
    """
    rows = table.rows
    for column, value in where.items():
        require_column(table, column)
        seen = {as_text(row.cells.get(column)) for row in rows if isinstance(row, Row)}
        if value not in seen:
            raise ConfigError(
                f"{table.name}: no row has {value!r} in column {column!r}",
                hint=nearest(value, sorted(seen)[:SHOWN_VALUES]),
            )
        rows = [
            row
            for row in rows
            if isinstance(row, BadRow) or as_text(row.cells.get(column)) == value
        ]
    return rows


def _check_budget(table: Table, collector: "_Collector", max_bad: int) -> None:
    bad, num_pairs = collector.bad, len(collector.pairs)
    if num_pairs and len(bad) <= max_bad:
        return
    shown = "".join(
        f"\n  {one.source}, row {one.row}: {one.reason}: {one.value!r}"
        for one in bad[:SHOWN_BAD_ROWS]
    )
    if len(bad) > SHOWN_BAD_ROWS:
        shown += f"\n  and {len(bad) - SHOWN_BAD_ROWS} more"
    if num_pairs:
        raise DataError(
            f"{table.name}: {len(bad)} rows cannot be used, at most {max_bad} are allowed:{shown}",
            hint=f"correct these rows, or go on without them: --max-bad {len(bad)}",
        )
    found = f"; {len(bad)} rows cannot be used:{shown}" if bad else ""
    raise DataError(
        f"{table.name}: no usable pair of picture and sentence{found}",
        hint="picture names are relative to the folder of the table" if bad else "add rows",
    )


class _Collector:
    """Checked pairs and bad rows, as they come."""

    def __init__(
        self, table: Table, image_column: str, text_column: str, negative_column: str | None
    ):
        self.image_column, self.text_column = image_column, text_column
        self.negative_column = negative_column
        taken = {image_column, text_column, *table.unread}
        self.extra_columns = [column for column in table.columns if column not in taken]
        self.pairs: list[Pair] = []
        self.columns: list[dict[str, str]] = []
        self.bad: list[BadRow] = []
        self.duplicates = 0
        self._locator = Locator(table.root)
        self._seen: set[tuple[Path, str, str]] = set()

    def add(self, row: Row) -> None:
        """Keep the pairs of a row, or the reasons why there are none."""
        name = row.cells.get(self.image_column)
        reason = text_problem(name)
        path = None if reason else self._locator.find(cast(str, name))
        if path is None:
            self._reject(row, f"picture: {reason or 'no such file'}", name)
            return
        extra = {column: as_text(row.cells.get(column)) for column in self.extra_columns}
        for text in as_list(row.cells.get(self.text_column)):
            if reason := text_problem(text):
                self._reject(row, f"sentence: {reason}", text)
            else:
                self._keep(Pair(path, cast(str, text).strip(), row.number, row.source), extra)

    def _keep(self, pair: Pair, extra: dict[str, str]) -> None:
        negative = extra.get(self.negative_column, "") if self.negative_column else ""
        said = (pair.image, pair.text, negative)
        if said in self._seen:
            self.duplicates += 1
            return
        self._seen.add(said)
        self.pairs.append(pair)
        self.columns.append(extra)

    def _reject(self, row: Row, reason: str, value: object) -> None:
        self.bad.append(bad_row(row.number, row.source, reason, value))
