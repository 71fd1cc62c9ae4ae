"""A folder of pictures with their sentences beside them: `x.jpg` and `x.txt`."""

import os
from collections import defaultdict
from pathlib import Path

from wordsight.data.encodings import decode
from wordsight.data.rows import BadRow, Row, Table, bad_row, read_content, writable
from wordsight.errors import DataError

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
)


def read_sidecars(folder: Path) -> Table:
    """Read `x.txt`, one sentence a line, as the sentences of the picture `x.*` beside it.

    Subfolders are searched, links to folders are not followed, names that begin with a dot are
    passed over. Files come in the order of their names. A picture without sentences and a text
    without a picture are bad rows: either would otherwise be lost in silence.

    Raises:
        DataError: if there is no picture in the folder, or a subfolder cannot be read.
    """
    rows: list[Row | BadRow] = []
    encodings: set[str] = set()
    num_pictures = 0
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(place).relative_to(folder)
        pictures, texts = _by_stem(names)
        num_pictures += sum(map(len, pictures.values()))
        for stem in sorted(pictures.keys() | texts.keys()):
            images = [here / name for name in pictures.get(stem, [])]
            if stem in texts:
                rows += _sentences(folder, here / texts[stem], images, encodings)
            else:
                reason = f"there is no {stem}.txt with its sentences beside this picture"
                rows += [bad_row(0, image.as_posix(), reason, image.name) for image in images]
    if not num_pictures:
        raise DataError(
            f"{folder}: neither a table nor pictures in this folder",
            hint="expected one .csv, .tsv, .jsonl or .parquet file, or x.jpg with x.txt beside it",
        )
    encoding = ", ".join(sorted(encodings))
    return Table(folder.name, folder, ("image", "text"), rows, encoding)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}")


def _by_stem(names: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    pictures: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, str] = {}
    for name in sorted(names):
        suffix = Path(name).suffix
        if name.startswith("."):
            continue
        if suffix.lower() in PICTURE_SUFFIXES:
            pictures[name.removesuffix(suffix)].append(name)
        elif suffix.lower() == ".txt":
            texts[name.removesuffix(suffix)] = name
    return pictures, texts


def _sentences(
    folder: Path, path: Path, images: list[Path], encodings: set[str]
) -> list[Row | BadRow]:
    source = writable(path.as_posix())
    if not images:
        return [bad_row(0, source, "there is no picture of this name beside it", path.name)]
    try:
        text, encoding = decode(read_content(folder / path), name=source)
    except DataError as error:
        return [bad_row(0, source, str(error), path.name)]
    encodings.add(encoding)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        return [bad_row(0, source, "the file holds no sentence", path.name)]
    return [
        Row(number, source, {"image": str(image), "text": line})
        for image in images
        for number, line in lines
    ]
