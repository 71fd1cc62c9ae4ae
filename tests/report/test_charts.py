"""Charts draw every value where it belongs."""

import itertools
import math
import re

import pytest
from html_checks import Structure
from hypothesis import given
from hypothesis import strategies as st

from wordsight.errors import InputError
from wordsight.metrics import wilson
from wordsight.report.axes import ticks
from wordsight.report.charts import Interval, Marker, Series, interval_chart, line_chart

numbers = st.floats(-1e9, 1e9).map(lambda x: round(x, 6))


@given(numbers, numbers)
def test_ticks_are_even_few_and_enclose_the_values(a, b):
    low, high = sorted((a, b))
    steps = ticks(low, high)
    gaps = [right - left for left, right in itertools.pairwise(steps)]
    assert 2 <= len(steps) <= 9
    assert steps[0] <= low + 1e-6 * gaps[0]
    assert steps[-1] >= high - 1e-6 * gaps[0]
    assert max(gaps) == pytest.approx(min(gaps), rel=1e-3)


def draw(series, **options):
    options = {"title": "Loss", "description": "falls", "x_label": "epoch"} | options
    return Structure(line_chart(series, **options))


def vertices(chart):
    return [
        [tuple(map(float, point.split(","))) for point in line["points"].split()]
        for line in chart.all("polyline")
    ]


def test_a_line_goes_through_its_points_in_proportion():
    [line] = vertices(draw([Series("train", [(1, 0.0), (2, 5.0), (3, 10.0)])]))
    (x1, y1), (x2, y2), (x3, y3) = line
    assert x2 == pytest.approx((x1 + x3) / 2)
    assert y2 == pytest.approx((y1 + y3) / 2)
    assert y1 > y3, "larger values stand higher"
    assert x1 < x3


def test_the_chosen_epoch_stands_above_its_own_point():
    chart = draw(
        [Series("a", [(1, 3.0), (4, 2.0), (9, 1.0)])], marker=Marker(4, "kept: 4"), percent=False
    )
    [marker] = chart.all("line", "marker")
    assert float(marker["x1"]) == vertices(chart)[0][1][0]
    assert "kept: 4" in chart.words


def test_a_chosen_epoch_before_the_first_widens_the_frame():
    chart = draw([Series("a", [(1, 3.0), (2, 2.0)])], marker=Marker(0, "kept: 0"))
    [marker] = chart.all("line", "marker")
    assert 0 < float(marker["x1"]) < vertices(chart)[0][0][0]


def test_a_value_that_is_not_a_number_interrupts_the_line():
    chart = draw([Series("a", [(1, 3.0), (2, 2.0), (3, math.nan), (4, math.inf), (5, 1.0)])])
    assert [len(line) for line in vertices(chart)] == [2]
    assert len(chart.all("circle", "dot")) == 1
    assert "nan" not in chart.words.lower()


@pytest.mark.parametrize("value", [0.0, 7.5, -3.0, 1e-9, 1e12])
def test_a_single_epoch_is_a_dot_inside_the_frame(value):
    [dot] = draw([Series("a", [(1, value)])]).all("circle", "dot")
    assert 0 <= float(dot["cx"]) <= 440
    assert 0 <= float(dot["cy"]) <= 250


@given(st.lists(numbers, min_size=1, max_size=30))
def test_no_drawing_leaves_its_frame(values):
    chart = draw([Series("a", list(enumerate(values)))])
    for line in vertices(chart):
        assert all(0 <= x <= 440 and 0 <= y <= 250 for x, y in line)


def test_a_chart_speaks_and_names_its_lines():
    chart = draw([Series("train <b>", [(1, 1.0), (2, 2.0)]), Series("val", [(1, 2.0)])])
    assert "Loss" in chart.words
    assert "train <b>" in chart.words
    [svg] = [svg for svg in chart.all("svg") if svg.get("role") == "img"]
    assert svg["aria-label"] == "Loss. falls"


@pytest.mark.parametrize(
    "series", [[], [Series("a", [])], [Series("a", [(1, math.nan)])], [Series("a", [(1, 1)])] * 5]
)
def test_a_chart_of_nothing_or_too_much_is_refused(series):
    with pytest.raises(InputError):
        draw(series)


def test_intervals_begin_and_end_where_the_estimate_says():
    rows = [
        Interval("Recall at 5", wilson(10, 100), wilson(50, 100)),
        Interval("Recall at 1", None, wilson(0, 100)),
    ]
    chart = Structure(
        interval_chart(rows, title="T", description="D", before="Before", after="After")
    )
    columns = {
        text.strip(): float(line["x1"])
        for text, line in zip(
            [t for t in chart.text if re.fullmatch(r"\d+ %", t)],
            chart.all("line", "grid"),
            strict=True,
        )
    }
    per_percent = (columns["60 %"] - columns["0 %"]) / 60
    drawn = [line for line in chart.all("line") if line.get("class") in ("s1", "s2")]
    drawn = [line for line in drawn if float(line["x2"]) > 30]
    found = [(float(d["x1"]), float(d["x2"])) for d in drawn]
    for estimate in (rows[0].after, rows[0].before, rows[1].after):
        ends = tuple(columns["0 %"] + 100 * per_percent * e for e in (estimate.low, estimate.high))
        assert any(ends == pytest.approx(pair, abs=0.05) for pair in found)
    assert str(rows[0].after) in chart.words


def test_an_interval_chart_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        interval_chart([], title="T", description="D", before="B", after="A")


def test_nothing_is_called_before_when_there_was_nothing_before():
    rows = [Interval("Accuracy", None, wilson(5, 9))]
    chart = Structure(interval_chart(rows, title="T", description="", before="Old", after="New"))
    assert "Old" not in chart.words
