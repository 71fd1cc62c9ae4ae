"""Finding the table that a user means."""

from pathlib import Path

from wordsight.data.csv_table import read_csv
from wordsight.data.json_lines import read_json_lines
from wordsight.data.parquet_table import read_parquet
from wordsight.data.rows import Table
from wordsight.data.sidecars import read_sidecars
from wordsight.errors import DataError, InputError

READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json_lines,
    ".parquet": read_parquet,
}


def read_table(source: Path) -> Table:
    """Read the table at `source`, the one in the folder `source`, or pictures with `.txt` files.

    Raises:
        InputError: if `source` is not there, or is no kind of file that holds pairs.
        DataError: if the folder holds several tables and not one of them is called `pairs`.
    """
    try:
        if source.is_dir():
            return _read_folder(source)
        is_there = source.exists()
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from None
    if not is_there:
        raise InputError(f"{source}: there is no such file or folder")
    if source.suffix.lower() not in READERS:
        raise InputError(
            f"{source.name}: not a table of pairs; expected {', '.join(READERS)}",
            hint="or give the folder that holds the table, or pictures with .txt files beside them",
        )
    return READERS[source.suffix.lower()](source)


def _read_folder(folder: Path) -> Table:
    tables = tables_in(folder)
    if len(tables) > 1:
        named = [path for path in tables if path.stem == "pairs"]
        if len(named) != 1:
            names = ", ".join(path.name for path in tables)
            raise DataError(
                f"{folder}: {len(tables)} tables in this folder: {names}",
                hint="give the path of the one to read, or call it pairs.csv",
            )
        tables = named
    return READERS[tables[0].suffix.lower()](tables[0]) if tables else read_sidecars(folder)


def tables_in(folder: Path) -> list[Path]:
    """Return the tables of a folder that could hold pairs, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in READERS
        and path.is_file()
        and not path.name.startswith((".", "~$"))  # what editors and Excel leave while open
        and not path.name.endswith("rejected.jsonl")
    )
