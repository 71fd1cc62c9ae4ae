"""Pictures without labels: each once, those that can be read, in two parts.

Shape letters: N pictures, E joint space, S side of the student's squares.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.engine.features import FeatureStore, content_key
from wordsight.engine.model import Model
from wordsight.errors import DataError
from wordsight.files import atomic_write
from wordsight.images import ImageLimits, Preprocessing, open_image
from wordsight.images.prepare import resize_and_crop

FEWEST = 32
CHUNK = 256
"""Pictures after which the parent's vectors go to disk; a killed run loses at most so many."""
THREADS = 8

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and of all."""
Images = Sequence[Path | bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Different files, by what is in them."""

    places: dict[bytes, int]
    """Place among the pictures given, by SHA-256."""
    unreadable: dict[int, str]
    """Why a file cannot be read at all, by its place."""
    num_repeated: int
    """Files whose bytes another file has too; one of them is used."""

    @property
    def fingerprint(self) -> str:
        """Digest of the contents, whatever the names and their order."""
        return hashlib.sha256(b"".join(sorted(self.places))).hexdigest()[:32]


def read_contents(images: Images, progress: Progress) -> Contents:
    """Digest every picture, so that each is used once and changes are noticed.

    Raises:
        DataError: if there are too few different ones.
    """
    places: dict[bytes, int] = {}
    unreadable: dict[int, str] = {}
    for place, image in enumerate(images):
        key = _content(image)
        if isinstance(key, str):
            unreadable[place] = key
        else:
            places.setdefault(key, place)
        if place % CHUNK == CHUNK - 1 or place == len(images) - 1:
            progress("checksums", place + 1, len(images))
    if len(places) < FEWEST:
        raise DataError(
            f"{len(places)} different pictures; expected at least {FEWEST} to learn from",
            hint="give more: thousands, of the kind that the model will see",
        )
    return Contents(places, unreadable, len(images) - len(places) - len(unreadable))


def _content(image: Path | bytes) -> bytes | str:
    """Return the key of a picture, or why it cannot be read."""
    if isinstance(image, bytes):
        return content_key(image)
    try:
        if not image.is_file():
            return "is no file, or is gone"
        if image.stat().st_size > ImageLimits().max_bytes:
            return f"the file has more than {ImageLimits().max_bytes} bytes"
        return content_key(image.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"


@dataclass(frozen=True, slots=True, eq=False)
class Goals:
    """Different, readable pictures, and what the parent says of each."""

    places: tuple[int, ...]
    """Place of each row among the pictures given."""
    keys: tuple[bytes, ...]
    """SHA-256 of the bytes of each."""
    vectors: NDArray[np.float32]
    """(N, E) unit rows."""
    unreadable: tuple[str, ...]
    """Name and reason of each picture left out."""


def parents_vectors(
    parent: Model,
    names: Sequence[str],
    images: Images,
    contents: Contents,
    store: FeatureStore,
    *,
    max_bad: int,
    progress: Progress,
) -> Goals:
    """Embed every picture once; vectors of an earlier run are taken from the store.

    Raises:
        DataError: if too few pictures can be read, or too many cannot.
    """
    unreadable = [f"{names[place]}: {why}" for place, why in contents.unreadable.items()]
    places: dict[bytes, int] = {}
    keys = list(contents.places)
    for start in range(0, len(keys), CHUNK):
        chunk = {key: contents.places[key] for key in keys[start : start + CHUNK]}
        bad = _embed(parent, chunk, images, store)
        unreadable += [f"{names[chunk[key]]}: {why}" for key, why in bad.items()]
        places |= {key: place for key, place in chunk.items() if key not in bad}
        if len(unreadable) > max_bad:
            raise DataError(
                f"{len(unreadable)} pictures cannot be read, allowed are {max_bad}: "
                f"{unreadable[0]}",
                hint="remove them, or allow more with --max-bad",
            )
        progress("pictures", start + len(chunk), len(keys))
    if len(places) < FEWEST:
        raise DataError(f"{len(places)} pictures can be read; expected at least {FEWEST}")
    rows = store.take(list(places))
    return Goals(tuple(places.values()), tuple(places), rows, tuple(unreadable))


def _embed(
    parent: Model, chunk: dict[bytes, int], images: Images, store: FeatureStore
) -> dict[bytes, str]:
    """Embed what the store does not have; return why some could not be."""
    missing = [key for key in chunk if key not in store]
    if not missing:
        return {}
    encoded = parent.encode_image_files([images[chunk[key]] for key in missing])
    pairs = zip(encoded.indices, encoded.embeddings, strict=True)
    store.add({missing[index]: row for index, row in pairs})
    store.flush()
    return {missing[index]: str(error) for index, error in encoded.errors}


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows to learn from, and rows to measure on."""

    learnt: NDArray[np.int64]
    held_out: NDArray[np.int64]


def part(keys: Sequence[bytes], *, held_out: float, most: int, seed: int) -> Parts:
    """Part pictures by a hash of their bytes and the seed: names and order do not matter.

    Equal files were made one before; frames of one film are not equal, and may land on both sides.
    """
    salt = seed.to_bytes(8, "little", signed=True)
    order = sorted(range(len(keys)), key=lambda row: hashlib.sha256(salt + keys[row]).digest())
    count = min(most, max(1, round(held_out * len(keys))), len(keys) - 1)
    return Parts(np.array(order[count:], np.int64), np.array(order[:count], np.int64))


def student_squares(
    path: Path, images: Images, recipe: Preprocessing, progress: Progress
) -> NDArray[np.uint8]:
    """Return the 8-bit squares (N, S, S, 3) that the student looks at, out of a file on disk.

    They are decoded once: every pass over them reads S * S * 3 bytes a picture, and memory stays
    flat.

    Raises:
        ImageError: if a picture has become unreadable since the parent saw it.
    """
    shape = (len(images), recipe.size, recipe.size, 3)
    if path.is_file():
        found = np.load(path, mmap_mode="r")
        if found.shape == shape and found.dtype == np.uint8:
            return found

    def square(image: Path | bytes) -> NDArray[np.uint8]:
        return np.asarray(resize_and_crop(open_image(image), recipe))

    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with atomic_write(path) as file, ThreadPoolExecutor(THREADS) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images), CHUNK):
            stop = min(start + CHUNK, len(images))
            for pixels in pool.map(square, [images[place] for place in range(start, stop)]):
                file.write(pixels.tobytes())
            progress("squares", stop, len(images))
    return np.load(path, mmap_mode="r")
