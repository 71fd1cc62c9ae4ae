"""Indices of shards on disk, so that a large set is indexed once."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from wordsight.data.shard_index import Flaw, ShardIndex, Stamp, index_shard, stamp_of
from wordsight.files import write_bytes

VERSION = 1
"""Part of the name of a file; rises when the index of the same shard would be another one."""
_DIGEST = 32


def cached_index(path: Path, cache: Path | None) -> ShardIndex:
    """Return the index of a shard, from the folder `cache` if the shard has not changed since.

    A shard is known by its absolute path, size and time of change; each has one file in the cache,
    which is written whole or not at all. A damaged file is made again.

    Raises:
        InputError: if there is no such shard.
        DataError: if it is no tar file, or has too many unusable samples.
    """
    if cache is None:
        return index_shard(path)
    name = hashlib.sha256(str(path.absolute()).encode(errors="surrogateescape")).hexdigest()
    place = cache / "shards" / f"{name[:40]}.{VERSION}"
    found = _load(place)
    if found is not None and found.stamp == stamp_of(path):
        return found
    index = index_shard(path)
    with suppress(OSError):  # a full or read-only disk costs time at the next start, not the run
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, _packed(index))
    return index


def _packed(index: ShardIndex) -> bytes:
    about = {
        "count": len(index.ends),
        "digest": index.digest,
        "ignored": index.ignored,
        "flaws": index.flaws,
        "stamp": index.stamp,
    }
    content = b"".join(
        (json.dumps(about).encode(), b"\n", index.rows.tobytes(), index.ends.tobytes(), index.keys)
    )
    return hashlib.sha256(content).digest() + content


def _load(place: Path) -> ShardIndex | None:
    try:
        data = place.read_bytes()
    except OSError:
        return None
    content = memoryview(data)[_DIGEST:]
    if hashlib.sha256(content).digest() != data[:_DIGEST]:
        return None
    line = data.index(b"\n", _DIGEST) + 1
    about = json.loads(data[_DIGEST:line])
    count = about["count"]
    numbers = np.frombuffer(data, np.int64, 6 * count, line)
    return ShardIndex(
        rows=numbers[: 5 * count].reshape(-1, 5),
        ends=numbers[5 * count :],
        keys=data[line + 48 * count :],
        digest=about["digest"],
        ignored=about["ignored"],
        flaws=tuple(Flaw(*flaw) for flaw in about["flaws"]),
        stamp=Stamp(*about["stamp"]),
    )
