"""The data sets of a suite, read and checked before anything is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from wordsight.data.examples import fingerprint
from wordsight.data.labelled import LabelledPictures, read_labelled
from wordsight.data.labelled_rows import part_of
from wordsight.data.pairs import Pairs, read_pairs
from wordsight.errors import DataError
from wordsight.evaluation import data_sets
from wordsight.evaluation.methods import Settings
from wordsight.evaluation.results import Unreadable, file_name
from wordsight.evaluation.suites import Suite, SuiteSet
from wordsight.evaluation.targets import Targets, need_goals, read_targets
from wordsight.evaluation.vectors import Contents, Progress, read_contents

SHOWN_BAD = 5
DRAWN_BY = 0
"""Seed of the pictures that are drawn where a suite measures on some only."""


@dataclass(frozen=True, kw_only=True)
class PreparedSet:
    """A data set that can be evaluated."""

    name: str
    cells: tuple[Settings, ...]
    targets: Targets
    target_table: Mapping[str, Any]
    contents: Contents
    max_bad: int
    source: str
    pictures: LabelledPictures | None = None
    pairs: Pairs | None = None
    prefix: str = "{}"
    """What the sentences of pairs are put into."""

    @property
    def images(self) -> Sequence[Path | bytes]:
        """All pictures."""
        return self.pictures.images if self.pictures is not None else self._pairs.images

    @property
    def keys(self) -> tuple[str, ...]:
        """Name of each picture."""
        if self.pictures is not None:
            return self.pictures.keys
        root = self._pairs.root
        return tuple(
            (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
            for path in self._pairs.images
        )

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that was read, the pictures included."""
        if self.pictures is not None:
            own = self.pictures.fingerprint
        else:
            name = dict(zip(self._pairs.images, self.keys, strict=True))
            own = fingerprint((name[pair.image], pair.text) for pair in self._pairs)
        return fingerprint([(own, self.contents.fingerprint, self.prefix)])

    @cached_property
    def has_copies(self) -> bool:
        """Whether one file is there under names that may come to lie on two sides."""
        if self.pictures is None:
            return False
        groups = self.pictures.groups or self.pictures.keys
        owner: dict[bytes, str] = {}
        return any(
            owner.setdefault(content, groups[place]) != groups[place]
            for place, content in self.contents.keys.items()
        )

    def unreadable(self, errors: Mapping[int, str]) -> tuple[Unreadable, ...]:
        """Return what was left out, rows as well as pictures.

        Raises:
            DataError: if it is more than `max_bad`.
        """
        bad = self.pictures.bad if self.pictures is not None else self._pairs.bad
        keys = self.keys
        found = [Unreadable(key=f"{one.source}, row {one.row}", reason=one.reason) for one in bad]
        found += [Unreadable(key=keys[i], reason=reason) for i, reason in sorted(errors.items())]
        if len(found) > self.max_bad:
            shown = "".join(f"\n  {one.key}: {one.reason}" for one in found[:SHOWN_BAD])
            more = f"\n  and {len(found) - SHOWN_BAD} more" if len(found) > SHOWN_BAD else ""
            raise DataError(
                f"{self.name}: {len(found)} rows or pictures cannot be used, at most "
                f"{self.max_bad} are allowed:{shown}{more}",
                hint=f"mend these, or go on without them: --max-bad {len(found)}",
            )
        return tuple(found)

    @property
    def _pairs(self) -> Pairs:
        assert self.pairs is not None
        return self.pairs


def prepare(
    suite: Suite, *, max_bad: int | None = None, progress: Progress | None = None
) -> list[PreparedSet]:
    """Read all data sets of a suite.

    Raises:
        InputError: if one is not there.
        ConfigError: if a description or a target is wrong.
        DataError: if one cannot be used, or two have one name.
    """
    found: list[PreparedSet] = []
    for entry in suite.sets:
        prepared = _prepared(suite, entry, max_bad=max_bad, progress=progress)
        for other in found:
            if file_name(other.name) == file_name(prepared.name):
                raise DataError(
                    f"two data sets are called {prepared.name!r}: {other.source} and "
                    f"{prepared.source}",
                    hint='give one of them another name = "..." in its [set]',
                )
        found.append(prepared)
    return found


def _prepared(
    suite: Suite, entry: SuiteSet, *, max_bad: int | None, progress: Progress | None
) -> PreparedSet:
    limit = suite.settings.max_bad if max_bad is None else max_bad
    if entry.is_pairs:
        return _prepared_pairs(suite, entry, limit or 0, progress)
    if entry.data_set:
        described = data_sets.read_data_set(entry.data_set)
        pictures = data_sets.open_data_set(described, entry.path, max_bad=limit)
    else:
        pictures = read_labelled(entry.path, max_bad=limit)
    pictures = _drawn(pictures, suite.settings.max_pictures)
    table = pictures.targets or suite.targets
    targets = read_targets(table, where=pictures.source)
    need_goals(targets, has_positive=bool(pictures.positive), where=pictures.source)
    # An inspection without a part to learn from is cross-validated.
    has_examples = "train" in pictures.parts or bool(pictures.positive)
    can_learn = has_examples and not pictures.is_multi_label
    cells = tuple(suite.cells(is_pairs=False, can_learn=can_learn))
    if not pictures.positive and all(one.method == "zero-shot" for one in cells):
        pictures = replace(pictures.part("test"), bad=pictures.bad)  # nothing learns from the rest
    return PreparedSet(
        name=pictures.name,
        cells=cells,
        targets=targets,
        target_table=table,
        contents=read_contents(pictures.images, progress=progress),
        max_bad=pictures.max_bad,
        source=pictures.source,
        pictures=pictures,
    )


def _prepared_pairs(
    suite: Suite, entry: SuiteSet, max_bad: int, progress: Progress | None
) -> PreparedSet:
    prefix = "{}"
    if entry.data_set:
        (prefix,) = data_sets.read_data_set(entry.data_set).templates["en"]
    pairs = _measured(read_pairs(entry.path, max_bad=max_bad))
    name = entry.data_set or (entry.path.name if entry.path.is_dir() else entry.path.stem)
    return PreparedSet(
        name=name,
        cells=tuple(suite.cells(is_pairs=True, can_learn=False)),
        targets=Targets(),
        target_table={},
        contents=read_contents(pairs.images, progress=progress),
        max_bad=max_bad,
        source=str(entry.path),
        pairs=pairs,
        prefix=prefix,
    )


def _measured(pairs: Pairs) -> Pairs:
    """Return the pairs that a column `split` says are to be measured on; all where none does."""
    chosen = [
        i for i, extra in enumerate(pairs.columns) if part_of(extra.get("split", "")) == "test"
    ]
    if not chosen:
        return pairs
    part = pairs.subset(chosen)
    return Pairs(
        part, columns=part.columns, bad=pairs.bad, encoding=pairs.encoding, root=pairs.root
    )


def _drawn(pictures: LabelledPictures, most: int | None) -> LabelledPictures:
    """Keep at most so many pictures to measure on, drawn at random, and all to learn from."""
    measured = [i for i, part in enumerate(pictures.parts) if part == "test"]
    if most is None or len(measured) <= most:
        return pictures
    drawn = np.random.default_rng(DRAWN_BY).permutation(measured)[:most]
    kept = {int(i) for i in drawn} | (set(range(len(pictures))) - set(measured))
    return replace(pictures.subset(sorted(kept)), bad=pictures.bad)
