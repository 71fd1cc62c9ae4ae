"""Labelled pictures in tar shards: the text of a sample is the name of its class."""

import re
from pathlib import Path

from wordsight.data.labelled_pictures import Part, Pictures
from wordsight.data.labelled_rows import LabelledRows, class_name, part_hint, part_of
from wordsight.data.rows import bad_row
from wordsight.data.shards import Shards, open_shards
from wordsight.errors import DataError

ALL_BAD = 2**31
"""Bad samples are counted by the caller, together with those that have no class."""


def read_labelled_shards(source: Path) -> LabelledRows:
    """Read shards; what a file name begins with is the part: `train-000.tar`, `test-000.tar`.

    Pictures stay where they are, and are read when they are asked for.

    Raises:
        InputError: if there are no such files.
        DataError: if one is no tar archive, or only some of them have the name of a part.
    """
    shards = open_shards(source / "*.tar" if source.is_dir() else source, max_bad=ALL_BAD)
    rows = LabelledRows(source.absolute().name, bad=list(shards.bad))
    keys = shards.keys
    parts = _parts(sorted({key.split(".tar/")[0] for key in keys}), str(source))
    places: list[int] = []
    for place, key in enumerate(keys):
        texts = shards[place].texts
        if len(texts) != 1:
            reason = f"it has {len(texts)} sentences, expected the name of one class"
            rows.bad.append(bad_row(0, rows.source, reason, key))
            continue
        rows.keys.append(key)
        rows.labels.append((class_name(texts[0]),))
        rows.parts.append(parts[key.split(".tar/")[0]])
        places.append(place)
    rows.images = Pictures(_Reader(shards), places)
    return rows


class _Reader:
    """Reads one picture; a class, so that it can be sent to another process."""

    def __init__(self, shards: Shards):
        self.shards = shards

    def __call__(self, place: int) -> bytes:
        content = self.shards[place].image
        assert isinstance(content, bytes)
        return content


def _parts(names: list[str], source: str) -> dict[str, Part]:
    known: dict[str, Part] = {}
    for name in names:
        if part := part_of(re.split(r"[-_.\d]", Path(name).name)[0]):
            known[name] = part
    if known and len(known) < len(names):
        other = next(name for name in names if name not in known)
        raise DataError(
            f"{source}: {next(iter(known))}.tar names a part of the data, {other}.tar does not",
            hint=part_hint(),
        )
    return known or dict[str, Part].fromkeys(names, "test")
