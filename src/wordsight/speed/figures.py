"""What is measured of every contender: throughput, latency, start and memory, all in turns.

Shape letters: N inputs, E joint space.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from wordsight.speed.contender import BATCH, Contender, Entry
from wordsight.speed.start import Start, start_fresh
from wordsight.speed.turns import Latency, Spread, take_turns

Item = TypeVar("Item")
Measure = Literal["tower", "files", "sentences", "picture", "sentence", "start"]
MEASURES: tuple[Measure, ...] = ("tower", "files", "sentences", "picture", "sentence", "start")
"""The tower alone, pictures from files, sentences, one picture, one sentence, a fresh process."""
COMPARED = 64
"""Pictures and sentences whose vectors are compared with those of the first contender."""
TRIED = 16
TURN_SHARE = 0.5
"""Of the time, for one turn of a throughput; there are three turns at least."""
MOST_IN_A_TURN = 512
STARTS, FULL_SECONDS = 3, 1.0
"""Fresh processes of each contender, unless less than this time was asked for: then one."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is encoded; every picture can be read."""

    pictures: Sequence[Path]
    sentences: Sequence[str]
    """Empty for a model without a text tower."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sameness:
    """How near the vectors are to those of the first contender."""

    pictures: float
    """Smallest cosine."""
    sentences: float | None
    num_pictures: int
    num_sentences: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """All that was measured of one contender."""

    tower: Spread
    """Pictures in a second, through the tower alone."""
    files: Spread
    """Pictures in a second, from their files."""
    limited_by: str
    """Which stage pictures from files waited for; empty where that is not known."""
    sentences: Spread | None
    """Different sentences in a second."""
    picture: Latency
    """Seconds for one picture, from its file."""
    sentence: Latency | None
    """Seconds for one sentence."""
    start: Spread
    """Seconds of a fresh process to its first answers."""
    memory: int | None
    """Bytes that a fresh process held at most."""
    sameness: Sameness | None
    """None for a rival with another model."""


@dataclass(slots=True)
class Race:
    """Contenders that are measured side by side.

    Args:
        contenders: by name; the others' vectors are compared with those of the first.
        entries: what opens each of them, by name.
        incomparable: names of those whose vectors mean something else.
        seconds: for each measure of each contender.
        between: called after every round, such as `Watch.glance`.
        note: called with the measure that comes next.
    """

    contenders: Mapping[str, Contender]
    entries: Mapping[str, Entry]
    material: Material
    incomparable: Sequence[str] = ()
    seconds: float = 2.0
    between: Callable[[], None] = lambda: None
    note: Callable[[Measure], None] = lambda measure: None
    turns: dict[Measure, dict[str, list[float]]] = field(
        default_factory=dict[Measure, dict[str, list[float]]]
    )
    """Seconds of every turn, by measure and contender."""
    counts: dict[Measure, int] = field(default_factory=dict[Measure, int])
    """How many were done in a turn."""

    def run(self) -> dict[str, Figures]:
        """Measure everything, and return it by contender."""
        pictures, sentences = self.material.pictures, self.material.sentences
        starts = self._starts()
        sameness = self._compare()
        pixels = self._prepared()
        self.note("tower")
        self._turn("tower", BATCH, lambda one, name: one.encode_prepared(pixels[name]))
        self.note("files")
        # A handful of pictures is over before reading ahead begins to pay: they are given again.
        many = list(islice(cycle(pictures), MOST_IN_A_TURN))
        chosen = many[: self._fitting(lambda one, n: one.encode_files(many[:n]), len(many))]
        self._turn("files", len(chosen), lambda one, _: one.encode_files(chosen))
        limits = {name: one.limited_by for name, one in self.contenders.items()}
        if sentences:
            self.note("sentences")
            n = self._fitting(lambda one, n: one.encode_texts(sentences[:n]), len(sentences))
            self._turn("sentences", n, lambda one, _: one.encode_texts(sentences[:n]))
        self.note("picture")
        singles = self._each(pictures)
        self._turn("picture", 1, lambda one, name: one.encode_files([next(singles[name])]))
        if sentences:
            self.note("sentence")
            words = self._each(sentences)
            self._turn("sentence", 1, lambda one, name: one.encode_texts([next(words[name])]))
        return {
            name: self._figures(name, starts[name], limits[name], sameness.get(name))
            for name in self.contenders
        }

    def _figures(
        self, name: str, starts: Sequence[Start], limited_by: str, sameness: Sameness | None
    ) -> Figures:
        def rate(measure: Measure) -> Spread:
            return Spread.of_rates(self.turns[measure][name], self.counts[measure])

        has_text = bool(self.material.sentences)
        held = [start.memory for start in starts if start.memory is not None]
        return Figures(
            tower=rate("tower"),
            files=rate("files"),
            limited_by=limited_by,
            sentences=rate("sentences") if has_text else None,
            picture=Latency.of(self.turns["picture"][name]),
            sentence=Latency.of(self.turns["sentence"][name]) if has_text else None,
            start=Spread.of([start.seconds for start in starts]),
            memory=max(held, default=None),
            sameness=sameness,
        )

    def _turn(self, measure: Measure, count: int, call: Callable[[Contender, str], object]) -> None:
        calls = {
            name: lambda one=one, name=name: call(one, name)
            for name, one in self.contenders.items()
        }
        self.counts[measure] = count
        self.turns[measure] = take_turns(calls, seconds=self.seconds, between=self.between)

    def _fitting(self, call: Callable[[Contender, int], object], most: int) -> int:
        """Return how many items fit into a turn of the slowest; trying it warms all of them up."""
        tried = min(TRIED, most)
        tries = {name: lambda one=one: call(one, tried) for name, one in self.contenders.items()}
        taken = take_turns(tries, seconds=0, least_rounds=2)
        slowest = max(min(seconds) for seconds in taken.values()) / tried
        return min(most, max(tried, int(self.seconds * TURN_SHARE / slowest)))

    def _starts(self) -> dict[str, list[Start]]:
        self.note("start")
        found: dict[str, list[Start]] = {name: [] for name in self.contenders}
        for _ in range(STARTS if self.seconds >= FULL_SECONDS else 1):
            for name in self.contenders:
                pictures, sentences = self.material.pictures, self.material.sentences
                found[name].append(start_fresh(self.entries[name], pictures, sentences))
                self.between()
        self.counts["start"] = 1
        self.turns["start"] = {
            name: [start.seconds for start in starts] for name, starts in found.items()
        }
        return found

    def _compare(self) -> dict[str, Sameness]:
        """Compare what all say that have the same model."""
        pictures = self.material.pictures[:COMPARED]
        sentences = self.material.sentences[:COMPARED]
        images: dict[str, NDArray[np.float32]] = {}
        texts: dict[str, NDArray[np.float32]] = {}
        for name, one in self.contenders.items():
            if name in self.incomparable:
                continue
            images[name] = one.encode_files(pictures)
            if sentences:
                texts[name] = one.encode_texts(sentences)
        first = next(iter(images))
        return {
            name: Sameness(
                pictures=_smallest_cosine(images[first], images[name]),
                sentences=_smallest_cosine(texts[first], texts[name]) if sentences else None,
                num_pictures=len(pictures),
                num_sentences=len(sentences),
            )
            for name in images
        }

    def _prepared(self) -> dict[str, object]:
        some = list(self.material.pictures[:BATCH])
        some = (some * BATCH)[:BATCH]
        prepared: dict[str, object] = {}
        for name, one in self.contenders.items():
            prepared[name] = one.prepare(some)
            one.encode_prepared(prepared[name])
        return prepared

    def _each(self, items: Sequence[Item]) -> dict[str, Iterator[Item]]:
        return {name: cycle(items) for name in self.contenders}


def _smallest_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the smallest cosine of rows (N, E), computed in float64."""
    left, right = (rows.astype(np.float64) for rows in (ours, theirs))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / lengths).min())
