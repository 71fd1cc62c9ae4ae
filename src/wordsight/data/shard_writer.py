"""Writing examples as tar shards that webdataset, and everything made for it, can read."""

import json
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, islice
from pathlib import Path

from wordsight.data.examples import Example, Examples
from wordsight.data.rows import BadRow, bad_row, read_content, writable
from wordsight.data.shard_texts import MAX_TEXT_BYTES, NEGATIVES, SEVERAL, read_texts
from wordsight.errors import ConfigError, DataError, InputError
from wordsight.files import atomic_folder
from wordsight.images.limits import DEFAULT_LIMITS
from wordsight.images.signature import foreign_kind, readable_format

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "BMP": "bmp",
    "GIF": "gif",
    "TIFF": "tiff",
    "PPM": "ppm",
}


@dataclass(frozen=True, slots=True)
class Written:
    """What came of writing shards."""

    paths: tuple[Path, ...]
    num_examples: int
    bad: tuple[BadRow, ...]
    """Examples that were left out, and why."""


def write_shards(
    examples: Examples,
    folder: Path,
    *,
    per_shard: int = 1000,
    stem: str = "shard",
    max_bad: int = 0,
) -> Written:
    """Write examples as `<stem>-000000.tar`, `<stem>-000001.tar`, ... into a new folder.

    Each becomes `<number>.jpg` (or .png, .webp ...; the bytes are not touched), `<number>.txt` with
    its first sentence, and `<number>.json` with all of them as `captions` and its old name. Equal
    examples give equal bytes. The folder appears when all of it is on disk; until then there is
    none.

    Args:
        examples: what to write, in this order.
        folder: where to; it must not be there, or be empty.
        per_shard: examples in each shard but the last.
        stem: what the names of the shards begin with.
        max_bad: leave out so many examples that cannot be read; more are an error.

    Raises:
        ConfigError: if the folder holds something, or a setting is out of its range.
        DataError: if there is no example, or more than `max_bad` cannot be read.
        OSError: if the disk is full or refuses; then nothing is left behind.
    """
    _check(folder, per_shard, stem, max_bad)
    bad: list[BadRow] = []
    names: list[str] = []
    count = 0
    samples = _samples(examples, bad, max_bad)
    with atomic_folder(folder) as part:
        while (first := next(samples, None)) is not None:
            names.append(f"{stem}-{len(names):06d}.tar")
            with tarfile.open(part / names[-1], "w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in chain([first], islice(samples, per_shard - 1)):
                    _add(tar, count, sample)
                    count += 1
        if not count:
            raise DataError(f"none of {len(examples)} examples can be written")
    return Written(tuple(folder / name for name in names), count, tuple(bad))


def _check(folder: Path, per_shard: int, stem: str, max_bad: int) -> None:
    if per_shard < 1 or max_bad < 0:
        raise ConfigError(f"per_shard is {per_shard}, expected 1 or more, and max_bad {max_bad}")
    if not stem or "/" in stem or stem.startswith("."):
        raise ConfigError(f"stem is {stem!r}, expected the beginning of a file name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder}: is there and not empty, so nothing is written there",
            hint="give a new folder, or remove it yourself",
        )


_Sample = tuple[tuple[str, bytes], ...]
"""Extension and content of each member."""


def _samples(examples: Examples, bad: list[BadRow], max_bad: int) -> Generator[_Sample]:
    for index in range(len(examples)):
        name = f"example {index}"
        try:
            example = examples[index]
            name = example.key
            sample = _members(example)
        except (DataError, InputError) as error:
            bad.append(bad_row(index + 1, "", str(error), name))
            if len(bad) > max_bad:
                raise DataError(
                    f"{len(bad)} examples cannot be written, at most {max_bad} are allowed; the "
                    f"last: {name}: {error}",
                    hint="mend them, or leave them out with a larger max_bad",
                ) from None
        else:
            yield sample


def _members(example: Example) -> _Sample:
    image = example.image
    picture = image if isinstance(image, bytes) else read_content(image)
    kind = readable_format(picture)
    if kind is None:
        what = foreign_kind(picture) if picture else "empty"
        raise DataError(f"the file is {what}; expected a picture")
    if len(picture) > DEFAULT_LIMITS.max_bytes:
        raise DataError(f"{len(picture)} bytes; the limit is {DEFAULT_LIMITS.max_bytes}")
    about: dict[str, object] = {SEVERAL: example.texts, "name": writable(example.key)}
    if example.negatives:
        about[NEGATIVES] = example.negatives
    try:
        text = "".join(example.texts[:1]).encode()
        record = json.dumps(about, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError("half of a surrogate pair, which no encoding can write") from None
    if len(record) > MAX_TEXT_BYTES:
        raise DataError(f"{len(record)} bytes of sentences; the limit is {MAX_TEXT_BYTES}")
    if problem := read_texts(record, "json").problem:
        raise DataError(problem)
    return (EXTENSIONS[kind], picture), ("txt", text), ("json", record)


def _add(tar: tarfile.TarFile, number: int, sample: _Sample) -> None:
    for extension, content in sample:
        member = tarfile.TarInfo(f"{number:09d}.{extension}")  # time 0, owner 0, mode 644
        member.size = len(content)
        tar.addfile(member, BytesIO(content))
