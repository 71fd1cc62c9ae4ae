"""Which writing system a text is in, by Unicode block: enough to group sentences for a report."""

from bisect import bisect_right
from collections import Counter
from typing import Literal

Script = Literal["latin", "japanese", "korean", "cyrillic", "greek", "arabic", "other"]

# Each row: first code point of a run of blocks, and the script from there to the next row.
_RUNS: tuple[tuple[int, Script], ...] = (
    (0x0000, "latin"),
    (0x0250, "other"),
    (0x0370, "greek"),
    (0x0400, "cyrillic"),
    (0x0530, "other"),
    (0x0600, "arabic"),
    (0x0700, "other"),
    (0x0750, "arabic"),
    (0x0780, "other"),
    (0x1100, "korean"),
    (0x1200, "other"),
    (0x1E00, "latin"),
    (0x1F00, "greek"),
    (0x2000, "other"),
    (0x3005, "japanese"),  # iteration mark, then hiragana and katakana
    (0x3100, "other"),
    (0x3130, "korean"),
    (0x3190, "other"),
    (0x31F0, "japanese"),
    (0x3200, "other"),
    (0x3400, "japanese"),  # kanji
    (0xA000, "other"),
    (0xAC00, "korean"),
    (0xD7B0, "other"),
    (0xF900, "japanese"),  # compatibility kanji
    (0xFB00, "latin"),
    (0xFB07, "other"),
    (0xFB50, "arabic"),
    (0xFE00, "other"),
    (0xFE70, "arabic"),
    (0xFF00, "other"),
    (0xFF21, "latin"),  # full width
    (0xFF66, "japanese"),  # half width
    (0xFFA0, "other"),
    (0x20000, "japanese"),
    (0x32000, "other"),
)
_STARTS = [start for start, _ in _RUNS]


def script_of(text: str) -> Script:
    """Return the script that most letters of `text` belong to; `other` when it has no letters.

    Kana and kanji count as Japanese. Chinese shares the characters, so it counts as Japanese too.
    Vietnamese, Polish and the like are Latin.
    """
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else "other"
    counts: Counter[Script] = Counter(
        _RUNS[bisect_right(_STARTS, ord(letter)) - 1][1] for letter in text if letter.isalpha()
    )
    return max(counts, key=lambda script: counts[script]) if counts else "other"
