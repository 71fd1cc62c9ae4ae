"""Opening whatever a user has as examples: tables, folders, tar shards, or several of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from wordsight.data.examples import Examples, PairExamples
from wordsight.data.mixture import Mixture
from wordsight.data.pairs import read_pairs
from wordsight.data.shard_paths import are_shards, find_shards, refuse_remote
from wordsight.data.shards import open_shards
from wordsight.data.sources import tables_in
from wordsight.errors import ConfigError, DataError

AND = "::"
"""Stands between several sources that are to be one."""


def open_examples(
    source: str | Path,
    *,
    image_column: str | None = None,
    text_column: str | None = None,
    negative_column: str | None = None,
    where: Mapping[str, str] | None = None,
    weights: Sequence[float] | None = None,
    max_bad: int = 0,
    cache: Path | None = None,
) -> Examples:
    """Open a table, a folder, tar shards, or several of these with `::` between them.

    A `.tar` file, a pattern of them, and a folder that holds some are read by `open_shards`,
    everything else by `read_pairs`. Tables beside shards of the same name, as img2dataset writes
    them, are passed over.

    Args:
        image_column: column of the pictures; for tables.
        text_column: column of the sentences; for tables.
        negative_column: column of sentences that are nearly true (hard negatives); for tables.
            Shards have them in the field `negatives` of their `.json`.
        where: keep only rows whose columns have these values; for tables.
        weights: how often each of several sources is shown in an epoch (`Mixture`); once if None.
        max_bad: refuse a source of which more than this cannot be used.
        cache: folder that keeps the indices of shards for the next time.

    Raises:
        InputError: if a source is not there, or is nothing that holds examples.
        ConfigError: if an option does not fit the source.
        DataError: if nothing can be read, or too much of it cannot be used.
        MissingError: if a table is Parquet and pyarrow is not installed.
    """
    parts = str(source).split(AND)
    if weights is not None and len(weights) != len(parts):
        raise ConfigError(f"{len(weights)} weights for {len(parts)} sources; expected one each")

    def opened(part: str) -> Examples:
        refuse_remote(part)
        if not are_shards(part):
            return PairExamples(
                read_pairs(
                    part,
                    image_column=image_column,
                    text_column=text_column,
                    negative_column=negative_column,
                    where=where,
                    max_bad=max_bad,
                ),
                negative_column=negative_column,
            )
        if len(parts) == 1 and (image_column or text_column or negative_column or where):
            raise ConfigError(
                f"{part}: shards have no columns to choose",
                hint="leave out image_column, text_column, negative_column and where",
            )
        _check_no_table(Path(part))
        return open_shards(part, max_bad=max_bad, cache=cache)

    sources = [opened(part) for part in parts]
    if len(sources) == 1 and weights is None:
        return sources[0]
    return Mixture(sources, weights)


def _check_no_table(folder: Path) -> None:
    if not folder.is_dir():
        return
    stems = {path.stem for path in find_shards(str(folder))}
    others = [path.name for path in tables_in(folder) if path.stem not in stems]
    if others:
        raise DataError(
            f"{folder}: both shards and a table, {others[0]}, in this folder",
            hint=f'name the table, or the shards: "{folder}/*.tar"',
        )
