"""One line at the end of a long run: how fast it was, and what to make faster first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordsight.engine.pace import Pace
    from wordsight.terminal import Terminal

_LONG = 5.0
"""Seconds; of a shorter run, the start would be half of what is measured."""


def say_pace(terminal: "Terminal", pace: "Pace") -> None:
    """Say how many pictures a second were encoded and what kept them from being more."""
    if pace.seconds < _LONG:
        return
    limit = "tower" if pace.limited_by == "the tower" else "preparing"
    terminal.say(
        f"pace.{limit}",
        n=pace.pictures,
        seconds=f"{pace.seconds:.0f}",
        rate=f"{pace.per_second:.0f}" if pace.per_second >= 10 else f"{pace.per_second:.1f}",
        waited=f"{pace.waiting / (pace.waiting + pace.encoding):.0%}",
    )
