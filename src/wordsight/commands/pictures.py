"""The readable pictures of whatever a user has, each with its name and hash."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.data.example_sources import open_examples
from wordsight.data.labelled import LabelledPictures, Pictures, read_labelled
from wordsight.data.shard_paths import are_shards, refuse_remote
from wordsight.data.sources import READERS, tables_in
from wordsight.errors import DataError, ImageError
from wordsight.images import find_images, open_image, perceptual_hash

DESCRIPTION = ".toml"


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Pictures that can be read."""

    name: str
    keys: tuple[str, ...]
    images: Sequence[Path | bytes]
    hashes: tuple[int, ...]
    """Perceptual hash of each."""
    unreadable: tuple[str, ...]
    """Name and reason of each picture left out."""


def open_pictures(
    source: str | LabelledPictures, progress: Callable[[int, int], None] | None = None
) -> PictureSource:
    """Read every picture once, and keep the names of those that can be read with their hashes.

    Args:
        source: a folder of pictures, a table or folder of pairs, tar shards, the description of a
            labelled set, or such a set itself.
        progress: called with the number read and of all.

    Raises:
        InputError: if the source is not there, or holds no pictures.
        DataError: if it is damaged, or no picture of it can be read.
    """
    name = source if isinstance(source, str) else source.source or source.name
    keys, images = found_pictures(source)
    places: list[int] = []
    hashes: list[int] = []
    unreadable: list[str] = []
    for place, key in enumerate(keys):
        try:
            hashes.append(perceptual_hash(open_image(images[place])))
            places.append(place)
        except ImageError as error:
            unreadable.append(f"{key}: {error}")
        if progress:
            progress(place + 1, len(keys))
    if not places:
        raise DataError(f"{name}: none of {len(keys)} pictures can be read: {unreadable[:1]}")
    return PictureSource(
        name=name,
        keys=tuple(keys[place] for place in places),
        images=Pictures(lambda place: images[place], places),
        hashes=tuple(hashes),
        unreadable=tuple(unreadable),
    )


def found_pictures(
    source: str | LabelledPictures,
) -> tuple[Sequence[str], Sequence[Path | bytes]]:
    """Return names and pictures of a source; none is opened.

    Raises:
        InputError: if the source is not there, or holds no pictures.
        DataError: if it is damaged.
    """
    if isinstance(source, LabelledPictures):
        return source.keys, source.images
    refuse_remote(source)
    path = Path(source)
    if path.suffix.lower() == DESCRIPTION:
        labelled = read_labelled(source)
        return labelled.keys, labelled.images
    if _is_plain(path) and not are_shards(source):
        paths = find_images([source])
        folder = path if path.is_dir() else Path()
        return [str(p.relative_to(folder) if path.is_dir() else p) for p in paths], paths
    examples = open_examples(source)
    return examples.keys, Pictures(lambda place: examples[place].image, range(len(examples)))


def _is_plain(path: Path) -> bool:
    """Whether the source is pictures alone: no table says which of them belong to it."""
    if path.is_dir():
        return not tables_in(path)
    return path.suffix.lower() not in READERS
