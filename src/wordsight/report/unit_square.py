"""Charts whose two axes are shares from 0 to 100 %: trade-offs of a threshold, and reliability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wordsight.errors import InputError
from wordsight.metrics import Estimate
from wordsight.report.axes import LEFT, Scale, column, figure, rule, text
from wordsight.report.page import Markup, group, tag

_SIDE = 300
_TOP = 30
_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_HEIGHT = _TOP + _SIDE + 42
_MOST_RADIUS = 9.0


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the square with a short text beside it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of about the same confidence: their mean confidence, and how many were right."""

    confidence: float
    right: Estimate


def trade_off_chart(
    curve: Sequence[tuple[float, float]],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    chosen: Point | None = None,
) -> Markup:
    """Draw what a threshold trades, such as recall against false alarms, and the chosen place.

    Args:
        curve: places in the order of the threshold, both numbers within 0..1.
        chosen: where the threshold that was used stands.

    Raises:
        InputError: if there are fewer than two places, or one is outside the square.
    """
    if len(curve) < 2:
        raise InputError(f"chart {title!r}: a curve needs two places, got {len(curve)}")
    _check_inside([*curve, *([(chosen.x, chosen.y)] if chosen else [])], title)
    x, y = _scales()
    line = " ".join(f"{x(a):g},{y(b):g}" for a, b in curve)
    drawing = group(
        _frame(x, y, x_label, y_label),
        tag("polyline", points=line, class_="line s1"),
        _chosen(chosen, x, y) if chosen else None,
    )
    return figure(drawing, [], title, description, _HEIGHT)


def reliability_chart(
    bins: Sequence[Bin], *, title: str, description: str, x_label: str, y_label: str
) -> Markup:
    """Draw the share that was right over the confidence; on the diagonal both are equal.

    A dot's area is proportional to the number of predictions in its bin, the bar through it is the
    95 % interval (DeGroot & Fienberg, 1983; Guo et al., 2017, figure 1).

    Raises:
        InputError: if there are no bins, or one is outside the square.
    """
    if not bins:
        raise InputError(f"chart {title!r}: there are no bins to draw")
    _check_inside([(one.confidence, one.right.value) for one in bins], title)
    x, y = _scales()
    most = max(one.right.n for one in bins)
    drawing = group(
        _frame(x, y, x_label, y_label),
        tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="marker"),
        [_bin(one, x, y, most) for one in bins],
    )
    return figure(drawing, [], title, description, _HEIGHT)


def _check_inside(places: Sequence[tuple[float, float]], title: str) -> None:
    for a, b in places:
        if not (math.isfinite(a) and math.isfinite(b) and 0 <= a <= 1 and 0 <= b <= 1):
            raise InputError(f"chart {title!r}: expected places within 0..1, got ({a}, {b})")


def _scales() -> tuple[Scale, Scale]:
    return Scale(0, 1, LEFT, LEFT + _SIDE), Scale(0, 1, _TOP + _SIDE, _TOP)


def _frame(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    return group(
        [rule(y(step), f"{step:.0%}", end=x(1)) for step in _STEPS],
        [column(x(step), y(0), f"{step:.0%}", top=_TOP) for step in _STEPS],
        text(x(0.5), _HEIGHT - 4, f"{x_label} \N{RIGHTWARDS ARROW}", anchor="middle"),
        text(0, 13, f"\N{UPWARDS ARROW} {y_label}", anchor="start"),
    )


def _chosen(point: Point, x: Scale, y: Scale) -> Markup:
    # A curve of recall over false alarms runs above the diagonal, and leaves room beneath.
    is_beneath = point.y > point.x
    is_right = point.x > 0.7
    place = x(point.x) + (-9 if is_right else 9)
    return group(
        tag("circle", tag("title", point.text), cx=x(point.x), cy=y(point.y), r=5.5,
            class_="dot s2"),
        text(place, y(point.y) + (19 if is_beneath else -9), point.text,
             anchor="end" if is_right else "start", class_="mark"),
    )  # fmt: skip


def _bin(one: Bin, x: Scale, y: Scale, most: int) -> Markup:
    at = x(one.confidence)
    radius = max(2.0, round(_MOST_RADIUS * math.sqrt(one.right.n / most), 2))
    return group(
        tag("line", x1=at, x2=at, y1=y(one.right.low), y2=y(one.right.high), stroke_width=1.5,
            class_="s1"),
        tag("circle", tag("title", str(one.right)), cx=at, cy=y(one.right.value), r=radius,
            class_="dot s1"),
    )  # fmt: skip
