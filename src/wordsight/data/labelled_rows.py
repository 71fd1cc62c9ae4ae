"""What every reader of labelled pictures hands on, and how parts of the data are called."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wordsight.data.labelled_pictures import PARTS, Part
from wordsight.data.rows import BadRow, writable

SHOWN_BAD = 5
PART_NAMES: dict[str, Part] = {
    **dict[str, Part].fromkeys(("train", "training", "trainval", "訓練", "学習"), "train"),
    **dict[str, Part].fromkeys(("validation", "val", "valid", "dev", "検証"), "validation"),
    **dict[str, Part].fromkeys(("test", "testing", "評価", "テスト"), "test"),
}
"""How people call the parts of their data."""


@dataclass(slots=True)
class LabelledRows:
    """Pictures with what is known of them; lists of one length."""

    source: str
    keys: list[str] = field(default_factory=list[str])
    images: Sequence[Path | bytes] = ()
    labels: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    parts: list[Part] = field(default_factory=list[Part])
    groups: list[str] | None = None
    classes: tuple[str, ...] = ()
    """Classes that are known even if no picture has them."""
    bad: list[BadRow] = field(default_factory=list[BadRow])


def part_of(name: str) -> Part | None:
    """Return the part that a word such as `val` or `テスト` means, or None."""
    return PART_NAMES.get(unicodedata.normalize("NFKC", name).casefold().strip())


def class_name(text: str) -> str:
    """Return a class name in one spelling: folders from macOS have their letters decomposed."""
    return unicodedata.normalize("NFC", writable(text)).strip()


def part_hint() -> str:
    """Say how parts may be called."""
    return f"parts are called {', '.join(PARTS)} (also val, 学習, 検証, 評価 ...)"


def shown_bad(bad: Sequence[BadRow]) -> str:
    """Return the first bad rows as lines of a message."""
    lines = [f"\n  {one.source}, row {one.row}: {one.reason}: {one.value!r}" for one in bad]
    more = f"\n  and {len(lines) - SHOWN_BAD} more" if len(lines) > SHOWN_BAD else ""
    return "".join(lines[:SHOWN_BAD]) + more
