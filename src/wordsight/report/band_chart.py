"""Curves over the number of examples, each in the band of its 95 % intervals."""

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
    figure,
    number,
    rule,
    text,
    ticks,
)
from wordsight.report.charts import MAX_SERIES
from wordsight.report.page import Markup, group, tag

_MARGIN = 16


@dataclass(frozen=True, slots=True)
class Band:
    """A named curve: what was measured at each place of the x axis."""

    name: str
    points: Sequence[tuple[int, Estimate]]


@dataclass(frozen=True, slots=True)
class Level:
    """A measurement that does not depend on x, drawn across the chart."""

    name: str
    estimate: Estimate


def band_chart(
    bands: Sequence[Band],
    *,
    title: str,
    description: str,
    x_label: str,
    level: Level | None = None,
) -> Markup:
    """Draw one to four curves of shares; places on the x axis stand evenly, whatever their values.

    1, 2, 4, 8, 16 examples are so equally far apart, and a place without a value for one curve is
    passed over by its line.

    Args:
        description: what a screen reader says in place of the picture.
        level: drawn as a dotted line, with its own value at the right; it counts as no curve.

    Raises:
        InputError: for no curve or too many, a curve without points, or one that is not finite.
    """
    _check(bands, title)
    places = sorted({x for band in bands for x, _ in band.points})
    shown = [estimate for band in bands for _, estimate in band.points]
    shown += [level.estimate] if level else []
    steps = ticks(min(one.low for one in shown), max(one.high for one in shown))
    steps = [step for step in steps if -1e-9 <= step <= 1 + 1e-9]
    y = Scale(steps[0], steps[-1], HEIGHT - BOTTOM, TOP)
    x = Scale(0, max(1, len(places) - 1), LEFT + _MARGIN, WIDTH - RIGHT - _MARGIN)
    at = {place: x(i) for i, place in enumerate(places)}
    drawing = group(
        [rule(y(step), number(step, steps, percent=True)) for step in steps],
        [text(at[place], HEIGHT - 22, f"{place:,}", anchor="middle") for place in places],
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_label, anchor="middle"),
        _level(level, y) if level else None,
        [_area(band, at, y, f"b{i}") for i, band in enumerate(bands, 1)],
        [_curve(band, at, y, f"s{i}") for i, band in enumerate(bands, 1)],
    )
    return figure(drawing, [band.name for band in bands], title, description, HEIGHT)


def _check(bands: Sequence[Band], title: str) -> None:
    if not 1 <= len(bands) <= MAX_SERIES:
        raise InputError(f"a chart holds 1 to {MAX_SERIES} curves, got {len(bands)}")
    for band in bands:
        if not band.points:
            raise InputError(f"chart {title!r}: curve {band.name!r} has no points")
        for x, one in band.points:
            if not all(map(math.isfinite, (one.low, one.value, one.high))):
                raise InputError(f"chart {title!r}: {band.name!r} is not a number at {x}")


def _ordered(band: Band) -> list[tuple[int, Estimate]]:
    return sorted(band.points, key=lambda point: point[0])


def _area(band: Band, at: dict[int, float], y: Scale, style: str) -> Markup:
    points = _ordered(band)
    upper = [f"{at[x]:g},{y(one.high):g}" for x, one in points]
    lower = [f"{at[x]:g},{y(one.low):g}" for x, one in reversed(points)]
    return tag("polygon", points=" ".join(upper + lower), class_=f"band {style}")


def _curve(band: Band, at: dict[int, float], y: Scale, style: str) -> Markup:
    points = _ordered(band)
    line = " ".join(f"{at[x]:g},{y(one.value):g}" for x, one in points)
    dots = [
        tag("circle", tag("title", str(one)), cx=at[x], cy=y(one.value), r=3.5,
            class_=f"dot {style}")
        for x, one in points
    ]  # fmt: skip
    return group(tag("polyline", points=line, class_=f"line {style}"), dots)


def _level(level: Level, y: Scale) -> Markup:
    height, end = y(level.estimate.value), WIDTH - RIGHT
    return group(
        tag("line", tag("title", str(level.estimate)), x1=LEFT, x2=end, y1=height, y2=height,
            class_="marker"),
        text(end, height - 5, level.name, anchor="end", class_="mark"),
    )  # fmt: skip
