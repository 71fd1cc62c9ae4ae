"""Examples in tar shards, as webdataset writes them; any of them can be read at any time.

Only the places of pictures and sentences are held in memory. A picture's bytes are read from its
shard when they are asked for, so the order can be shuffled over all shards, and a run taken up
again at any step.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from os.path import commonpath
from pathlib import Path

from wordsight.data.examples import Example, fingerprint
from wordsight.data.names import Names
from wordsight.data.open_files import OpenFiles
from wordsight.data.rows import BadRow, bad_row, writable
from wordsight.data.shard_cache import cached_index
from wordsight.data.shard_index import ShardIndex
from wordsight.data.shard_paths import find_shards
from wordsight.data.shard_texts import read_texts
from wordsight.errors import DataError

SHOWN_BAD = 5
NEAR = 4096
"""Sentences so many bytes from their picture are read together with it."""


class Shards:
    """The samples of some tar files, in the order of the files; made by `open_shards`.

    `bad` lists the samples that cannot be used, `ignored` counts members that are never read:
    links, devices, pickles, and files that are neither picture nor text.
    """

    def __init__(self, paths: Sequence[Path], indices: Sequence[ShardIndex]):
        self._paths, self._indices = tuple(paths), tuple(indices)
        self._ends = list(accumulate(len(index.ends) for index in indices))
        self._names = _short_names(paths)
        self._files = OpenFiles()
        self.bad: tuple[BadRow, ...] = tuple(
            bad_row(flaw.sample, name, flaw.reason, flaw.key)
            for name, index in zip(self._names, indices, strict=True)
            for flaw in index.flaws
        )
        ignored: Counter[str] = Counter()
        for index in indices:
            ignored.update(index.ignored)
        self.ignored: Mapping[str, int] = dict(sorted(ignored.items()))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int, /) -> Example:
        """Read one example.

        Raises:
            DataError: if its shard was changed since it was opened, or can no longer be read.
        """
        shard, place = self._find(index)
        indexed, path = self._indices[shard], self._paths[shard]
        image, image_size, text, text_size, is_json = indexed.rows[place].tolist()
        first, end = min(image, text), max(image + image_size, text + text_size)
        if end - first <= image_size + text_size + NEAR:
            span = self._files.read(path, indexed.stamp, first, end - first)
            picture = span[image - first : image - first + image_size]
            content = span[text - first : text - first + text_size]
        else:
            picture = self._files.read(path, indexed.stamp, image, image_size)
            content = self._files.read(path, indexed.stamp, text, text_size)
        said = read_texts(content, "json" if is_json else "txt")
        name = self._name(shard, place)
        if not said.texts:
            raise DataError(f"{name}: was changed while it was in use: {said.problem}")
        return Example(name, picture, said.texts, said.negatives)

    @property
    def keys(self) -> Names:
        """Name of every sample: its shard, relative to the folder of all shards, and its key."""
        return Names(len(self), lambda index: self._name(*self._find(index)))

    @property
    def fingerprint(self) -> str:
        """Digest of names, sentences and sizes of pictures."""
        digests = (index.digest for index in self._indices)
        return fingerprint(zip(self._names, digests, strict=True))

    def _find(self, index: int) -> tuple[int, int]:
        index = range(len(self))[index]
        shard = bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def _name(self, shard: int, place: int) -> str:
        return f"{self._names[shard]}/{self._indices[shard].key(place)}"


def open_shards(source: str | Path, *, max_bad: int = 0, cache: Path | None = None) -> Shards:
    """Open a tar file, a folder of them, or a pattern such as `train-{000..009}.tar`.

    A sample is the members whose names are equal up to the first dot: a picture (jpg, jpeg, png,
    webp ...) with its sentences. These are the field `captions` of its `.json`, else the whole of
    its `.txt`, else the field `caption` or `text` of its `.json`.

    Args:
        source: what to open; commands and addresses are refused.
        max_bad: refuse the data when more samples than this cannot be used.
        cache: folder that keeps what was found in each shard, for the next time.

    Raises:
        InputError: if there are no such files.
        DataError: if one is no tar archive, no sample is left, or more than `max_bad` are unusable.
    """
    paths = find_shards(str(source))
    shards = Shards(paths, [cached_index(path, cache) for path in paths])
    _check_budget(str(source), shards, max_bad)
    return shards


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files relative to the folder that holds them all."""
    places = [path.absolute() for path in paths]
    root = commonpath([place.parent for place in places])
    return [writable(place.relative_to(root).as_posix()) for place in places]


def _check_budget(source: str, shards: Shards, max_bad: int) -> None:
    bad = shards.bad
    if len(shards) and len(bad) <= max_bad:
        return
    shown = "".join(
        f"\n  {one.source}, sample {one.row} ({one.value}): {one.reason}" for one in bad[:SHOWN_BAD]
    )
    if len(bad) > SHOWN_BAD:
        shown += f"\n  and {len(bad) - SHOWN_BAD} more"
    if len(shards):
        raise DataError(
            f"{source}: {len(bad)} samples cannot be used, at most {max_bad} are allowed:{shown}",
            hint=f"mend these, or go on without them: --max-bad {len(bad)}",
        )
    raise DataError(
        f"{source}: no usable sample" + (f"; {len(bad)} cannot be used:{shown}" if bad else ""),
        hint="a sample is a picture and a .txt or .json of the same name: 0001.jpg, 0001.txt",
    )
