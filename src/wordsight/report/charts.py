"""Charts as inline SVG: readable in light and dark, in print, by the colour-blind and aloud.

Series differ by the Okabe-Ito colours *and* by line style or marker, so no meaning hangs on colour
alone. Colours live in page.css.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    column,
    figure,
    number,
    padded,
    rule,
    text,
    ticks,
)
from wordsight.report.page import Markup, group, tag

MAX_SERIES = 4

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
    x_low, x_high = padded(min(places), max(places))
    steps = ticks(min([y for _, y in points] + [0.0] * percent), max(y for _, y in points))
    x = Scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    y = Scale(steps[0], steps[-1], HEIGHT - BOTTOM, TOP)
    whole = [step for step in ticks(x_low, x_high) if step == int(step) and x_low <= step <= x_high]
    drawing = group(
        [rule(y(step), number(step, steps, percent=percent)) for step in steps],
        [text(x(step), HEIGHT - 22, f"{step:.0f}", anchor="middle") for step in whole],
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_label, anchor="middle"),
        _marker(marker, x) if marker else None,
        [_line(line, x, y, f"s{i}") for i, line in enumerate(series, 1)],
    )
    return figure(drawing, [line.name for line in series], title, description, HEIGHT)


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
    x = Scale(steps[0], steps[-1], 14, WIDTH - 22)
    bottom = _ROW * len(rows) + 6
    drawing = group(
        [column(x(step), bottom, number(step, steps, percent=True)) for step in steps],
        [_interval_row(row, x, _ROW * i + 18) for i, row in enumerate(rows)],
    )
    has_before = any(row.before for row in rows)
    names = [after, before] if has_before else [after]
    return figure(drawing, names, title, description, bottom + 24, dots=True)


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _marker(marker: Marker, x: Scale) -> Markup:
    at = x(marker.x)
    is_right = at > WIDTH * 0.62
    line = tag("line", x1=at, x2=at, y1=TOP - 8, y2=HEIGHT - BOTTOM, class_="marker")
    return group(
        line,
        text(
            at + (-5 if is_right else 5),
            TOP - 5,
            marker.text,
            anchor="end" if is_right else "start",
            class_="mark",
        ),
    )


def _line(series: Series, x: Scale, y: Scale, style: str) -> Markup:
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


def _interval_row(row: Interval, x: Scale, top: float) -> Markup:
    return group(
        text(14, top, row.name, anchor="start", class_="name"),
        _interval(row.after, x, top + 13, "s1"),
        _interval(row.before, x, top + 27, "s2") if row.before else None,
    )


def _interval(estimate: Estimate, x: Scale, y: float, style: str) -> Markup:
    return group(
        tag(
            "line", x1=x(estimate.low), x2=x(estimate.high), y1=y, y2=y,
            stroke_width=2.25, class_=style,
        ),
        tag("circle", tag("title", str(estimate)), cx=x(estimate.value), cy=y, r=4.5,
            class_=f"dot {style}"),
    )  # fmt: skip
