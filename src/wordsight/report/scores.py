"""The scores of a run: a table and a chart, before and after, each with its interval."""

import re

from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.advice import verdict
from wordsight.report.charts import Interval, interval_chart
from wordsight.report.page import Markup, tag, words
from wordsight.report.run import Run, Score

_RECALL = re.compile(r"(image_to_text|text_to_image)_r(\d+)")


def score_name(name: str, phrases: Phrases) -> str:
    """Return what a score is called in the language of the page; unknown ones keep their name."""
    if recall := _RECALL.fullmatch(name):
        return phrases(f"report.score.{recall[1]}", k=int(recall[2]))
    key = f"report.score.{name}"
    return phrases(key) if key in phrases.texts else name


def percent(value: float) -> str:
    """Write a share as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def _range(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f}\N{EN DASH}{100 * estimate.high:.1f}"


def scores_section(run: Run, phrases: Phrases) -> Markup:
    """Show every score in words, numbers and a picture."""
    scores = run.results.scores
    names = ("score", "before", "after", "gain")
    head = tag("tr", [tag("th", phrases(f"align.scores.{name}"), scope="col") for name in names])
    rows = [_score_row(score, phrases) for score in scores]
    chart = interval_chart(
        [Interval(score_name(score.name, phrases), score.before, score.after) for score in scores],
        title=phrases("align.scores.chart"),
        description=" ".join(
            phrases(
                "align.scores.row",
                name=score_name(score.name, phrases),
                after=str(score.after),
                before=str(score.before) if score.before else "\N{EM DASH}",
            )
            for score in scores
        ),
        before=phrases("align.scores.before"),
        after=phrases("align.scores.after"),
    )
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag(
        "section",
        tag("h2", phrases("align.scores.title")),
        tag("p", phrases("align.scores.note"), class_="note"),
        tag(
            "div",
            tag("div", tag("div", table, class_="scroll"), class_="card"),
            tag("div", chart, class_="card"),
            class_="columns",
        ),
    )


def _score_row(score: Score, phrases: Phrases) -> Markup:
    _, gain = verdict(score)
    cells = [
        tag("td", tag("b", percent(estimate.value)), tag("small", _range(estimate)))
        if estimate
        else tag("td", "\N{EM DASH}")
        for estimate in (score.before, score.after)
    ]
    change = "\N{EM DASH}" if gain is None else f"{100 * gain.value:+.1f}"
    change_range = None
    if gain:
        low, high = (f"{100 * x:+.1f}" for x in (gain.low, gain.high))
        change_range = tag("small", phrases("align.scores.range", low=low, high=high))
    name = tag("th", words(score_name(score.name, phrases)), scope="row")
    return tag("tr", name, cells, tag("td", tag("b", change), change_range))
