"""What was measured of a model: figures of every contender, and what they rest on."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wordsight.bundle.schema import PRECISIONS, Precision
from wordsight.commands.machine import find_memory, find_processor, num_allowed_cores
from wordsight.errors import InputError
from wordsight.speed.contender import Entry, Library
from wordsight.speed.figures import Figures, Measure
from wordsight.speed.operations import Operations
from wordsight.speed.peak import Peak
from wordsight.speed.quiet import Verdict
from wordsight.speed.rival_models import RivalModel, check_rival
from wordsight.speed.turns import Spread, ratios

SCHEMA = 1
LEAST_SECONDS = 0.01
DRAWN = "drawn"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchSettings:
    """What is measured, and for how long."""

    engine: str = "auto"
    """One engine; "auto" takes all that work here."""
    precisions: tuple[Precision, ...] = ()
    """Precisions to run in; what the model says if none is given."""
    threads: int | None = None
    """Threads of engines and rivals; as many as they like if not given."""
    seconds: float = 2.0
    """For each measure of each contender."""
    against: tuple[Library, ...] = ()
    """Other libraries that take turns with ours."""
    wait_seconds: float = 0.0
    """How long to wait for a quiet moment at most."""

    def __post_init__(self) -> None:
        if not LEAST_SECONDS <= self.seconds < float("inf"):
            raise InputError(f"seconds are {self.seconds}; expected {LEAST_SECONDS} or more")
        if not 0 <= self.wait_seconds < float("inf"):
            raise InputError(f"seconds to wait are {self.wait_seconds}; expected 0 or more")
        for name in self.precisions:
            if name not in PRECISIONS:
                raise InputError(
                    f"there is no precision {name!r}", hint=f"choose {', '.join(PRECISIONS)}"
                )
        for name in self.against:
            check_rival(name)
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads are {self.threads}; expected 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Operations in a second, as a share of the fastest matrix product of the same arithmetic."""

    pictures: float | None
    """Of the tower alone."""
    sentences: float | None
    """Tokenising included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Benched:
    """All that was measured."""

    model: str
    path: Path
    settings: BenchSettings
    entries: Mapping[str, Entry]
    """Contenders by name; ours first."""
    figures: Mapping[str, Figures]
    rivals: Mapping[str, RivalModel]
    turns: Mapping[Measure, Mapping[str, Sequence[float]]]
    """Seconds of every turn, by measure and contender."""
    operations: Operations
    peaks: Mapping[str, Peak]
    arithmetic: Mapping[str, str]
    """By contender: what its image tower multiplies in."""
    quiet: Verdict
    pictures: str
    """Where the pictures are from, or "drawn"."""
    sentences: str
    num_pictures: int
    num_unreadable: int
    num_sentences: int
    mean_tokens: float
    left_out: tuple[tuple[str, str], ...]
    """Engines that could not be measured, and why."""

    @property
    def fastest(self) -> str:
        """Our contender that encodes most pictures from files."""
        own = [name for name, entry in self.entries.items() if entry.library == "wordsight"]
        return max(own, key=lambda name: self.figures[name].files.median)

    @property
    def ratios(self) -> dict[str, dict[Measure, Spread]]:
        """By rival and measure: how many times as long it takes as our fastest, turn by turn."""
        best = self.fastest
        return {
            name: {
                measure: ratios(turns[name], turns[best]) for measure, turns in self.turns.items()
            }
            for name in self.rivals
        }

    def share(self, name: str) -> Share:
        """Return how much of the machine's measured peak a contender of ours reaches."""
        entry, figures = self.entries[name], self.figures[name]
        peak = self.peaks.get(self.arithmetic[name])
        counted = self.operations
        if peak is None or entry.library != "wordsight":
            return Share(pictures=None, sentences=None)
        pictures = sentences = None
        if counted.picture is not None:
            pictures = figures.tower.median * counted.picture / peak.per_second
        if counted.sentence is not None and figures.sentences is not None:
            sentences = figures.sentences.median * counted.sentence / peak.per_second
        return Share(pictures=pictures, sentences=sentences)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: seconds, bytes, and numbers per second; docs/bench.md lists them."""
        memory = find_memory()
        processor = find_processor()
        return {
            "schema": SCHEMA,
            "model": {
                "name": self.model,
                "path": str(self.path),
                "operations": asdict(self.operations),
            },
            "machine": {
                "processor": processor.name,
                "instructions": list(processor.instructions or ()),
                "cores": num_allowed_cores(),
                "memory": memory.total if memory else None,
                "system": platform.platform(),
                "python": platform.python_version(),
                "wordsight": version("wordsight"),
            },
            "settings": asdict(self.settings),
            "material": {
                "pictures": self.pictures,
                "num_pictures": self.num_pictures,
                "num_unreadable": self.num_unreadable,
                "sentences": self.sentences,
                "num_sentences": self.num_sentences,
                "mean_tokens": round(self.mean_tokens, 2),
            },
            "peak": {name: asdict(peak) for name, peak in self.peaks.items()},
            "quiet": self.quiet.to_json(),
            "contenders": [self._contender(name) for name in self.entries],
            "fastest": self.fastest,
            "ratios": {
                name: {measure: asdict(spread) for measure, spread in found.items()}
                for name, found in self.ratios.items()
            },
            "left_out": [{"contender": name, "reason": why} for name, why in self.left_out],
        }

    def _contender(self, name: str) -> dict[str, Any]:
        entry, rival = self.entries[name], self.rivals.get(name)
        return {
            "name": name,
            "library": entry.library,
            "engine": entry.engine or "torch",
            "arithmetic": self.arithmetic[name],
            "model": entry.model,
            "same_weights": rival.has_same_weights if rival else True,
            "remark": rival.reason if rival else "",
            **asdict(self.figures[name]),
            "share_of_peak": asdict(self.share(name)),
        }
