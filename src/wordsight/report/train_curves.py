"""The curves of a training run: what was said of its steps, and its scores as it learnt."""

import math
from collections.abc import Sequence
from typing import TypeVar

from wordsight.language import Phrases
from wordsight.report.charts import MAX_SERIES, Series, line_chart
from wordsight.report.page import Markup, tag
from wordsight.report.scores import score_name
from wordsight.report.train_run import TrainRun

T = TypeVar("T")

MOST_POINTS = 240
"""Points of a line: more cannot be told apart, and would make the page large."""
MEASURES = ("loss", "scale", "learning_rate")


def curves_section(run: TrainRun, phrases: Phrases) -> Markup:
    """Draw loss, scale and learning rate over the steps, and every score."""
    charts = [_chart(name, [_steps(run, name, phrases)], phrases) for name in MEASURES]
    return tag(
        "section",
        tag("h2", phrases("train.curves.title")),
        tag("div", [tag("div", chart, class_="card") for chart in charts], class_="columns"),
    )


def score_curves(run: TrainRun, phrases: Phrases) -> list[Markup]:
    """Draw the scores of all evaluations, a few to a chart; none for a single evaluation."""
    if len(run.evaluations) < 2:
        return []
    lines = [
        Series(
            score_name(name, phrases),
            [(float(e.step), e.scores[name].value) for e in run.evaluations if name in e.scores],
        )
        for name in run.evaluations[-1].scores
    ]
    return [
        _chart("scores", some, phrases, percent=True) for some in _few_at_a_time(lines, MAX_SERIES)
    ]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `MOST_POINTS` points, each the mean of its neighbours."""
    size = math.ceil(len(points) / MOST_POINTS)
    return [
        (part[-1][0], sum(y for _, y in part) / len(part)) for part in _few_at_a_time(points, size)
    ]


def _steps(run: TrainRun, name: str, phrases: Phrases) -> Series:
    points = [(float(step.step), float(getattr(step, name))) for step in run.steps]
    return Series(phrases(f"train.curves.{name}"), thinned(points))


def _few_at_a_time(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _chart(
    name: str, lines: Sequence[Series], phrases: Phrases, *, percent: bool = False
) -> Markup:
    described = [
        phrases(
            "align.curves.describe",
            name=line.name,
            first=f"{line.points[0][1]:.3g}",
            last=f"{line.points[-1][1]:.3g}",
        )
        for line in lines
    ]
    return line_chart(
        lines,
        title=phrases(f"train.curves.{name}"),
        description=" ".join(described),
        x_label=phrases("train.curves.step"),
        percent=percent,
    )
