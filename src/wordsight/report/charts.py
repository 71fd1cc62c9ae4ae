"""Charts as inline SVG: readable in light and dark, in print, by the colour-blind and aloud.

Series differ by the Okabe-Ito colours *and* by line style or marker, so no meaning hangs on colour
alone. Colours live in page.css.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.page import Markup, group, tag

MAX_SERIES = 4

_WIDTH = 440
_HEIGHT = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 20, 42
_ROW = 62


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; a point whose y is not finite interrupts it."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Marker:
    """A vertical line at x with a short text."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of an interval chart; `before` is None when there is nothing to compare with."""

    name: str
    before: Estimate | None
    after: Estimate


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values onto pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    marker: Marker | None = None,
    percent: bool = False,
) -> Markup:
    """Draw one to four lines over a common x axis.

    Args:
        description: what a screen reader says in place of the picture.
        percent: write y as a percentage, on an axis that begins at 0.

    Raises:
        InputError: for no series or too many, or if not one point is finite.
    """
    if not 1 <= len(series) <= MAX_SERIES:
        raise InputError(f"a chart holds 1 to {MAX_SERIES} series, got {len(series)}")
    points = [point for line in series for point in line.points if _is_finite(point)]
    if not points:
        raise InputError(f"chart {title!r}: there is no finite point to draw")
    places = [x for x, _ in points] + ([marker.x] if marker else [])
    x_low, x_high = _padded(min(places), max(places))
    steps = ticks(min([y for _, y in points] + [0.0] * percent), max(y for _, y in points))
    x = _Scale(x_low, x_high, _LEFT, _WIDTH - _RIGHT)
    y = _Scale(steps[0], steps[-1], _HEIGHT - _BOTTOM, _TOP)
    whole = [step for step in ticks(x_low, x_high) if step == int(step) and x_low <= step <= x_high]
    drawing = group(
        [_rule(y(step), _number(step, steps, percent=percent)) for step in steps],
        [_text(x(step), _HEIGHT - 22, f"{step:.0f}", anchor="middle") for step in whole],
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, x_label, anchor="middle"),
        _marker(marker, x) if marker else None,
        [_line(line, x, y, f"s{i}") for i, line in enumerate(series, 1)],
    )
    return _figure(drawing, [line.name for line in series], title, description, _HEIGHT)


def interval_chart(
    rows: Sequence[Interval], *, title: str, description: str, before: str, after: str
) -> Markup:
    """Draw each score as a dot on its 95 % interval: after filled, before hollow beneath it.

    Raises:
        InputError: if there are no rows.
    """
    if not rows:
        raise InputError(f"chart {title!r}: there are no rows to draw")
    shown = [estimate for row in rows for estimate in (row.after, row.before) if estimate]
    steps = ticks(0.0, min(1.0, max(estimate.high for estimate in shown)))
    x = _Scale(steps[0], steps[-1], 14, _WIDTH - 22)
    bottom = _ROW * len(rows) + 6
    drawing = group(
        [_column(x(step), bottom, _number(step, steps, percent=True)) for step in steps],
        [_interval_row(row, x, _ROW * i + 18) for i, row in enumerate(rows)],
    )
    has_before = any(row.before for row in rows)
    names = [after, before] if has_before else [after]
    return _figure(drawing, names, title, description, bottom + 24, dots=True)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that enclose low and high."""
    low, high = _padded(low, high)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _padded(low: float, high: float) -> tuple[float, float]:
    """A single value still needs an axis."""
    if high - low > 1e-9 * max(1.0, abs(low), abs(high)):
        return low, high
    room = max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _number(value: float, steps: Sequence[float], *, percent: bool) -> str:
    factor, unit = (100, " %") if percent else (1, "")
    step = (steps[1] - steps[0]) * factor
    if abs(value * factor) >= 1e5:
        return f"{value * factor:.3g}{unit}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value * factor:.{digits}f}{unit}"


def _text(x: float, y: float, text: str, *, anchor: str, class_: str | None = None) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def _rule(y: float, text: str) -> Markup:
    line = tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
    return group(line, _text(_LEFT - 7, y + 4, text, anchor="end"))


def _column(x: float, bottom: float, text: str) -> Markup:
    line = tag("line", x1=x, x2=x, y1=2, y2=bottom, class_="grid")
    return group(line, _text(x, bottom + 17, text, anchor="middle"))


def _marker(marker: Marker, x: _Scale) -> Markup:
    at = x(marker.x)
    is_right = at > _WIDTH * 0.62
    line = tag("line", x1=at, x2=at, y1=_TOP - 8, y2=_HEIGHT - _BOTTOM, class_="marker")
    return group(
        line,
        _text(
            at + (-5 if is_right else 5),
            _TOP - 5,
            marker.text,
            anchor="end" if is_right else "start",
            class_="mark",
        ),
    )


def _line(series: Series, x: _Scale, y: _Scale, style: str) -> Markup:
    runs: list[list[str]] = [[]]
    for point in series.points:
        if _is_finite(point):
            runs[-1].append(f"{x(point[0]):g},{y(point[1]):g}")
        elif runs[-1]:
            runs.append([])
    lines = [
        tag("polyline", points=" ".join(run), class_=f"line {style}")
        if len(run) > 1
        else tag(
            "circle", cx=run[0].split(",")[0], cy=run[0].split(",")[1], r=4, class_=f"dot {style}"
        )
        for run in runs
        if run
    ]
    return group(lines)


def _interval_row(row: Interval, x: _Scale, top: float) -> Markup:
    return group(
        _text(14, top, row.name, anchor="start", class_="name"),
        _interval(row.after, x, top + 13, "s1"),
        _interval(row.before, x, top + 27, "s2") if row.before else None,
    )


def _interval(estimate: Estimate, x: _Scale, y: float, style: str) -> Markup:
    return group(
        tag(
            "line", x1=x(estimate.low), x2=x(estimate.high), y1=y, y2=y,
            stroke_width=2.25, class_=style,
        ),
        tag("circle", tag("title", str(estimate)), cx=x(estimate.value), cy=y, r=4.5,
            class_=f"dot {style}"),
    )  # fmt: skip


def _figure(
    drawing: Markup,
    names: Sequence[str],
    title: str,
    description: str,
    height: float,
    *,
    dots: bool = False,
) -> Markup:
    legend = [
        tag("li", _swatch(f"s{i}", dots=dots), tag("span", name)) for i, name in enumerate(names, 1)
    ]
    svg = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        drawing,
        viewBox=f"0 0 {_WIDTH} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )
    caption = tag("figcaption", title)
    return tag("figure", caption, tag("ul", legend, class_="legend"), svg, class_="chart")


def _swatch(style: str, *, dots: bool) -> Markup:
    look = style if dots else f"line {style}"
    line = tag("line", x1=1, x2=21, y1=5, y2=5, stroke_width=2.25, class_=look)
    dot = tag("circle", cx=11, cy=5, r=4, class_=f"dot {style}") if dots else None
    return tag("svg", line, dot, viewBox="0 0 22 10", aria_hidden="true")
