"""Opening whatever a user has as labelled pictures: a description, a table, folders, tar shards."""

from collections.abc import Mapping
from pathlib import Path

from wordsight.data.glossary import with_glossary
from wordsight.data.labelled_folder import read_class_folders
from wordsight.data.labelled_pictures import METRICS as METRICS
from wordsight.data.labelled_pictures import PARTS as PARTS
from wordsight.data.labelled_pictures import LabelledPictures as LabelledPictures
from wordsight.data.labelled_pictures import MetricKind as MetricKind
from wordsight.data.labelled_pictures import Part as Part
from wordsight.data.labelled_pictures import Pictures as Pictures
from wordsight.data.labelled_pictures import spoken as spoken
from wordsight.data.labelled_rows import LabelledRows, shown_bad
from wordsight.data.labelled_shards import read_labelled_shards
from wordsight.data.labelled_table import read_labelled_table
from wordsight.data.labelled_toml import Description, SetTable, read_description
from wordsight.data.shard_paths import are_shards, refuse_remote
from wordsight.data.sources import READERS, tables_in
from wordsight.data.words import ANY_LANGUAGE as ANY_LANGUAGE
from wordsight.data.words import Words as Words
from wordsight.errors import ConfigError, DataError, InputError

DESCRIPTION = "set.toml"
"""Where it lies in a folder, it says how to read it."""
TABLE = "labels"
"""Of several tables in a folder, the one of this name is read."""


def read_labelled(
    source: str | Path, *, max_bad: int | None = None, description: Description | None = None
) -> LabelledPictures:
    """Read pictures with the names of their classes, and refuse what would mislead a measurement.

    `source` is one of

    - a `.toml` that describes the set (see `labelled_toml`), or a folder with a `set.toml`;
    - a table (.csv, .tsv, .jsonl, .parquet) with columns such as path, class, split and group, or
      a folder that holds one;
    - a folder with a folder of pictures for each class, or with train/ and test/ above these;
    - tar shards whose `.txt` is the name of a class; `train-*.tar` and `test-*.tar` are parts.

    Where no part is stated, all pictures are to be measured on.

    Args:
        max_bad: refuse the set when more rows or files than this cannot be used; what the
            description says, else 0.
        description: what is known of a folder or table that does not describe itself.

    Raises:
        InputError: if `source` is not there, or is nothing that holds labelled pictures.
        ConfigError: if the description names a column, class or setting that is not there.
        DataError: if nothing can be read, more than `max_bad` rows are bad, a part or class is
            unknown, a picture is there twice with different classes, or a group on two sides.
        MissingError: if a table is Parquet and pyarrow is not installed.
    """
    refuse_remote(str(source))
    path = Path(source)
    if path.suffix.lower() == ".toml":
        description = read_description(path)
        source = path.parent / description.set.images
    elif path.is_dir() and (path / DESCRIPTION).is_file():
        description = read_description(path / DESCRIPTION)
        source = path / description.set.images
    else:
        description = description or Description(set=SetTable(images=""), name=_name(path))
    rows = _read_rows(Path(source), description.set)
    limit = description.set.max_bad if max_bad is None else max_bad
    _check_budget(rows, limit)
    return _built(rows, description, max_bad=limit, source=str(path))


def _name(path: Path) -> str:
    absolute = path.absolute()
    is_plain = absolute.stem in (TABLE, "pairs") and absolute.parent.name
    return absolute.parent.name if is_plain else absolute.stem or absolute.name


def _read_rows(source: Path, settings: SetTable) -> LabelledRows:
    try:
        is_folder, is_there = source.is_dir(), source.exists()
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    if are_shards(str(source)):
        return read_labelled_shards(source)
    if is_folder:
        tables = tables_in(source)
        if not tables:
            return read_class_folders(source, part=settings.part)
        source = _chosen_table(source, tables)
    elif not is_there:
        raise InputError(f"{source}: there is no such file or folder")
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        raise InputError(
            f"{source.name}: holds no labelled pictures; expected {', '.join(READERS)}, .toml, "
            ".tar, or a folder"
        )
    return read_labelled_table(reader(source), settings)


def _chosen_table(folder: Path, tables: list[Path]) -> Path:
    named = [path for path in tables if path.stem == TABLE]
    if len(tables) > 1 and len(named) != 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(
            f"{folder}: {len(tables)} tables in this folder: {names}",
            hint=f"give the path of the one to read, or call it {TABLE}.csv",
        )
    return named[0] if len(tables) > 1 else tables[0]


def _check_budget(rows: LabelledRows, max_bad: int) -> None:
    if max_bad < 0:
        raise ConfigError(f"max_bad is {max_bad}, expected 0 or more")
    if rows.keys and len(rows.bad) <= max_bad:
        return
    if rows.keys:
        raise DataError(
            f"{rows.source}: {len(rows.bad)} rows or files cannot be used, at most {max_bad} are "
            f"allowed:{shown_bad(rows.bad)}",
            hint=f"correct these, or go on without them: --max-bad {len(rows.bad)}",
        )
    found = f"; {len(rows.bad)} cannot be used:{shown_bad(rows.bad)}" if rows.bad else ""
    raise DataError(
        f"{rows.source}: no picture with a class{found}",
        hint="picture names are relative to the folder of the table" if rows.bad else "add rows",
    )


def _built(
    rows: LabelledRows, description: Description, *, max_bad: int, source: str
) -> LabelledPictures:
    settings = description.set
    is_multi_label = settings.multi_label
    seen = {name for names in rows.labels for name in names}
    known = {**dict.fromkeys(rows.classes), **dict.fromkeys(sorted(seen))}
    none: Words = {}
    classes: Mapping[str, Words] = description.classes or dict.fromkeys(sorted(known), none)
    if description.glossary:
        classes = with_glossary(classes, description.glossary, where=source)
    return LabelledPictures(
        name=description.name,
        keys=tuple(rows.keys),
        images=rows.images,
        labels=tuple(rows.labels),
        parts=tuple(rows.parts),
        groups=tuple(rows.groups) if rows.groups is not None else None,
        classes=classes,
        templates=description.templates,
        metric=settings.metric or ("map_11_point" if is_multi_label else "accuracy"),
        is_multi_label=is_multi_label,
        positive=settings.positive,
        targets=description.targets,
        bad=tuple(rows.bad),
        max_bad=max_bad,
        source=source,
    )
