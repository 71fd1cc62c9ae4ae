"""The pieces every chart is drawn with: scales, round numbers, rules, legends, the figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wordsight.report.page import Markup, group, tag

WIDTH = 440
HEIGHT = 250
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 20, 42
"""Room around the frame for numbers and the names of the axes, in units of the view box."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values onto pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value, to a hundredth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that enclose low and high."""
    low, high = padded(low, high)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def padded(low: float, high: float) -> tuple[float, float]:
    """Return limits that are apart: a single value still needs an axis."""
    if high - low > 1e-9 * max(1.0, abs(low), abs(high)):
        return low, high
    room = max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def number(value: float, steps: Sequence[float], *, percent: bool) -> str:
    """Write a value with the digits that tell the steps of its axis apart."""
    factor, unit = (100, " %") if percent else (1, "")
    step = (steps[1] - steps[0]) * factor
    if abs(value * factor) >= 1e5:
        return f"{value * factor:.3g}{unit}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value * factor:.{digits}f}{unit}"


def text(x: float, y: float, words: str, *, anchor: str, class_: str | None = None) -> Markup:
    """Write words at a place; `anchor` is start, middle or end."""
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def rule(y: float, words: str, *, end: float = WIDTH - RIGHT) -> Markup:
    """Draw a horizontal grid line with its number at the left."""
    line = tag("line", x1=LEFT, x2=end, y1=y, y2=y, class_="grid")
    return group(line, text(LEFT - 7, y + 4, words, anchor="end"))


def column(x: float, bottom: float, words: str, *, top: float = 2) -> Markup:
    """Draw a vertical grid line with its number beneath."""
    line = tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
    return group(line, text(x, bottom + 17, words, anchor="middle"))


def figure(
    drawing: Markup,
    names: Sequence[str],
    title: str,
    description: str,
    height: float,
    *,
    dots: bool = False,
) -> Markup:
    """Frame a drawing: its title, a legend of the series, and what a screen reader says."""
    legend = [
        tag("li", _swatch(f"s{i}", dots=dots), tag("span", name)) for i, name in enumerate(names, 1)
    ]
    svg = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        drawing,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )
    caption = tag("figcaption", title)
    return tag(
        "figure", caption, tag("ul", legend, class_="legend") if names else None, svg,
        class_="chart",
    )  # fmt: skip


def _swatch(style: str, *, dots: bool) -> Markup:
    look = style if dots else f"line {style}"
    line = tag("line", x1=1, x2=21, y1=5, y2=5, stroke_width=2.25, class_=look)
    dot = tag("circle", cx=11, cy=5, r=4, class_=f"dot {style}") if dots else None
    return tag("svg", line, dot, viewBox="0 0 22 10", aria_hidden="true")
