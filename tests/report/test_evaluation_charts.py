"""Charts of an evaluation draw every number where it belongs."""

import numpy as np
import pytest
from html_checks import Structure
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_curve

from wordsight.errors import InputError
from wordsight.language import Phrases
from wordsight.metrics import Estimate, wilson
from wordsight.report.band_chart import Band, Level, band_chart
from wordsight.report.confusion_table import confusion_table
from wordsight.report.evaluation_charts import operating_points, precision_points
from wordsight.report.unit_square import Bin, Point, reliability_chart, trade_off_chart

OPTIONS = {"title": "T", "description": "D", "x_label": "x", "y_label": "y"}


def places(element):
    return [tuple(map(float, point.split(","))) for point in element["points"].split()]


def bands(**curves):
    return [Band(name, points) for name, points in curves.items()]


def draw_bands(curves, **options):
    return Structure(band_chart(curves, title="T", description="D", x_label="examples", **options))


def test_a_curve_and_its_band_go_through_their_values():
    points = [(1, Estimate(0.2, 0.1, 0.4, 50)), (16, Estimate(0.8, 0.7, 0.9, 50))]
    chart = draw_bands(bands(a=points))
    rules = [float(line["y1"]) for line in chart.all("line", "grid")]
    numbers = [t for t in chart.text if t.endswith(" %")]
    assert numbers[0] == "0 %"
    assert numbers[-1] == "100 %"

    def pixel(share):
        return rules[0] + share * (rules[-1] - rules[0])

    [line] = chart.all("polyline")
    [area] = chart.all("polygon")
    assert [y for _, y in places(line)] == pytest.approx([pixel(0.2), pixel(0.8)], abs=0.02)
    assert [y for _, y in places(area)] == pytest.approx(
        [pixel(0.4), pixel(0.9), pixel(0.7), pixel(0.1)], abs=0.02
    )
    assert [float(dot["cy"]) for dot in chart.all("circle", "dot")] == [y for _, y in places(line)]


def test_doubling_the_examples_is_always_the_same_step():
    estimate = Estimate(0.5, 0.4, 0.6, 10)
    chart = draw_bands(bands(a=[(n, estimate) for n in (16, 1, 2, 4, 8)]))
    [line] = chart.all("polyline")
    across = [x for x, _ in places(line)]
    assert across == sorted(across)
    assert np.diff(across) == pytest.approx(np.diff(across)[0] * np.ones(4), abs=0.02)
    shown = chart.text[chart.text.index("1") :]
    assert shown[:5] == ["1", "2", "4", "8", "16"]


def test_words_alone_are_a_level_line_that_widens_the_axis():
    chart = draw_bands(
        bands(a=[(1, Estimate(0.8, 0.75, 0.85, 9))]),
        level=Level("words", Estimate(0.3, 0.2, 0.4, 9)),
    )
    [line] = chart.all("line", "marker")
    assert line["y1"] == line["y2"]
    assert float(line["y1"]) > float(chart.all("circle", "dot")[0]["cy"])
    assert "words" in chart.words


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, 20)), min_size=1, max_size=8))
def test_every_point_stays_inside_the_frame(values):
    points = [(n, wilson(k, 20)) for n, k in dict(values).items()]
    chart = draw_bands(bands(a=points, b=points[:1]))
    for shape in [*chart.all("polygon"), *chart.all("polyline")]:
        for x, y in places(shape):
            assert 0 <= x <= 440
            assert 0 <= y <= 250


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([], "1 to 4 curves"),
        (bands(a=[]), "has no points"),
        (bands(a=[(1, Estimate(float("nan"), 0, 1, 3))]), "not a number at 1"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(curves, message):
    with pytest.raises(InputError, match=message):
        draw_bands(curves)


margins_and_marks = st.lists(
    st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({mark for _, mark in rows}) == 2)


@settings(max_examples=100, deadline=None)
@given(margins_and_marks)
def test_operating_points_are_those_of_scikit_learn(rows):
    margins, marks = np.array([m for m, _ in rows], float), np.array([d for _, d in rows])
    alarms, recall, _ = roc_curve(marks, margins, drop_intermediate=False)
    wanted = np.stack([alarms, recall], axis=1)
    np.testing.assert_allclose(operating_points(margins, marks), wanted, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(margins_and_marks)
def test_precision_at_the_samples_own_share_is_that_of_scikit_learn(rows):
    margins, marks = np.array([m for m, _ in rows], float), np.array([d for _, d in rows])
    found = precision_points(operating_points(margins, marks), float(marks.mean()))
    precision, recall, _ = precision_recall_curve(marks, margins)
    wanted = np.stack([recall, precision], axis=1)[:-1][::-1]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_precision_falls_with_the_share_of_defects():
    [(_, rare)] = precision_points([(0.1, 0.9)], 0.01)
    assert rare == pytest.approx(0.009 / (0.009 + 0.099))
    assert precision_points([(0.0, 0.0)], 0.5) == []


def test_a_trade_off_is_drawn_to_scale_with_the_chosen_place_on_it():
    chart = Structure(
        trade_off_chart([(0, 0), (0.25, 0.5), (1, 1)], chosen=Point(0.25, 0.5, "in use"), **OPTIONS)
    )
    [line] = chart.all("polyline")
    (x0, y0), (x1, y1), (x2, y2) = places(line)
    assert x1 - x0 == pytest.approx((x2 - x0) / 4)
    assert y1 == pytest.approx((y0 + y2) / 2)
    assert x2 - x0 == pytest.approx(y0 - y2), "both axes have one scale"
    [dot] = chart.all("circle", "dot")
    assert (float(dot["cx"]), float(dot["cy"])) == (x1, y1)
    assert "in use" in chart.words


def test_reliability_shows_the_share_the_interval_and_the_number():
    few, many = Bin(0.6, wilson(2, 4)), Bin(0.9, wilson(90, 100))
    chart = Structure(reliability_chart([few, many], **OPTIONS))
    small, large = chart.all("circle", "dot")
    assert float(large["r"]) / float(small["r"]) == pytest.approx(5, abs=0.55), "area goes with n"
    [diagonal] = chart.all("line", "marker")
    slope = (float(diagonal["y2"]) - float(diagonal["y1"])) / (
        float(diagonal["x2"]) - float(diagonal["x1"])
    )
    on_it = float(diagonal["y1"]) + slope * (float(large["cx"]) - float(diagonal["x1"]))
    assert float(large["cy"]) == pytest.approx(on_it, abs=0.02), "0.9 of 0.9 is on the diagonal"
    bars = [line for line in chart.all("line", "s1") if line["x1"] == small["cx"]]
    assert float(bars[0]["y1"]) > float(small["cy"]) > float(bars[0]["y2"])


@pytest.mark.parametrize("place", [(1.2, 0.5), (float("nan"), 0.5), (0.5, -0.1)])
def test_a_place_outside_the_square_is_refused(place):
    with pytest.raises(InputError, match=r"within 0\.\.1"):
        trade_off_chart([(0.0, 0.0), place], **OPTIONS)
    with pytest.raises(InputError, match="no bins"):
        reliability_chart([], **OPTIONS)


def test_the_confusion_table_has_headers_counts_and_shares():
    table = Structure(confusion_table(["a", "<b>"], [[3, 1], [0, 0]], phrases=Phrases.load("en")))
    assert [cell["scope"] for cell in table.all("th")] == ["col"] * 4 + ["row"] * 2
    assert table.all("td", "right")[0]["style"] == "--share:75%"
    assert table.all("td", "right")[1].get("style") is None, "no share of nothing"
    assert "3 1 4" in table.words
    assert "<b>" in table.words
    with pytest.raises(InputError, match="2 x 2 counts"):
        confusion_table(["a", "b"], [[1, 2]], phrases=Phrases.load("en"))
