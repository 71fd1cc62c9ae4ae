"""Labelled pictures in folders: a folder for each class, or parts of the data above these."""

from pathlib import Path

from wordsight.data.labelled_pictures import Part
from wordsight.data.labelled_rows import LabelledRows, class_name, part_of
from wordsight.data.rows import bad_row, writable
from wordsight.errors import DataError
from wordsight.images.find import find_images

LAYOUT = "expected CLASS/picture.jpg, or train/CLASS/picture.jpg and test/CLASS/picture.jpg"


def read_class_folders(folder: Path, *, part: Part = "test") -> LabelledRows:
    """Read `CLASS/x.jpg`; or `train/CLASS/x.jpg` where all folders have the name of a part.

    Folders below a class belong to it. A class whose folder is empty is a class without pictures.
    Pictures that lie in no class are bad rows.

    Args:
        part: what pictures are for where no folder says it.

    Raises:
        InputError: if there is no picture in the folder.
        DataError: if it holds pictures, but no folder of a class.
    """
    tops = _folders(folder)
    parts: dict[str, Part] = {}
    for path in tops:
        if named := part_of(path.name):
            parts[path.name] = named
    has_parts = bool(tops) and len(parts) == len(tops)
    rows = LabelledRows(folder.absolute().name, classes=_classes(tops, has_parts=has_parts))
    images: list[Path | bytes] = []
    for path in find_images([str(folder)]):
        places = path.relative_to(folder).parts
        names = places[1:] if has_parts else places
        key = writable("/".join(places))
        if len(names) < 2 or (has_parts and places[0] not in parts):
            rows.bad.append(bad_row(0, rows.source, "not in the folder of a class", key))
            continue
        rows.keys.append(key)
        rows.labels.append((class_name(names[0]),))
        rows.parts.append(parts[places[0]] if has_parts else part)
        images.append(path)
    if not images:
        raise DataError(f"{folder}: no picture lies in the folder of a class", hint=LAYOUT)
    rows.images = images
    return rows


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _classes(tops: list[Path], *, has_parts: bool) -> tuple[str, ...]:
    folders = [path for top in tops for path in _folders(top)] if has_parts else tops
    return tuple(dict.fromkeys(class_name(path.name) for path in folders))
