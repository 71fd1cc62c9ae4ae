"""The numbers of the demo's page: tables and charts, each number with its interval."""

from wordsight.demo.acts import Acts
from wordsight.demo.factory import Factory
from wordsight.demo.new_word import ANSWERS
from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.charts import Interval, interval_chart
from wordsight.report.page import Markup, tag


def factory_scores(factory: Factory, phrases: Phrases) -> Markup:
    """Show act 2 before and after, beside a linear probe on the same pictures."""
    before, after, probe = factory.before, factory.after, factory.probe
    rows: list[tuple[str, Estimate, Estimate, Estimate]] = [
        ("roc_auc", before.roc_auc, after.roc_auc, probe.roc_auc),
        (
            "balanced_accuracy",
            before.balanced_accuracy,
            after.balanced_accuracy,
            probe.balanced_accuracy,
        ),
    ]
    table = _table(
        ["measure", "before", "after", "probe"],
        [(phrases(f"report.score.{name}"), values) for name, *values in rows],
        phrases,
    )
    chart = _chart(
        [
            *((phrases(f"report.score.{name}"), was, now) for name, was, now, _ in rows),
            *(
                (phrases(f"demo.row.probe_{name}"), None, yardstick)
                for name, _, _, yardstick in rows
            ),
        ],
        phrases("demo.factory.chart"),
        phrases,
    )
    return _columns(table, chart)


def word_scores(acts: Acts, phrases: Phrases) -> Markup:
    """Show act 3 before and after, and what it changed elsewhere."""
    new = acts.new_word
    chart = _chart(
        [(phrases("demo.row.words"), new.before, new.after)],
        phrases("demo.words.chart", answers=len(ANSWERS)),
        phrases,
    )
    last = new.taught[-1]
    facts = {
        "photos": phrases("demo.of", n=acts.renamed_by_words, total=len(acts.named)),
        "cells": phrases("demo.of", n=new.cells_changed, total=len(acts.cells.held_out)),
        "moved": f"{last.moved_mean:.2g}",
        "moved_most": f"{last.moved_max:.2g}",
    }
    lines = [
        tag("tr", tag("td", phrases(f"demo.words.{name}", n=last.num_old)), tag("td", value))
        for name, value in facts.items()
    ]
    aside = tag(
        "div",
        tag("h3", phrases("demo.words.side")),
        tag("table", tag("tbody", lines)),
        tag("p", phrases("demo.words.factory", n=acts.renamed_by_factory, total=len(acts.named)),
            class_="note", style="margin-top:12px"),
    )  # fmt: skip
    return _columns(aside, chart)


def _columns(left: Markup, right: Markup) -> Markup:
    cards = [tag("div", content, class_="card") for content in (left, right)]
    return tag("div", cards, class_="columns")


def _table(columns: list[str], rows: list[tuple[str, list[Estimate]]], phrases: Phrases) -> Markup:
    head = tag("tr", [tag("th", phrases(f"demo.column.{name}"), scope="col") for name in columns])
    lines = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [
                tag("td", tag("b", f"{100 * value.value:.1f} %"), tag("small", _range(value)))
                for value in values
            ],
        )
        for name, values in rows
    ]
    table = tag("table", tag("thead", head), tag("tbody", lines))
    size = rows[0][1][0].n
    note = tag(
        "p", phrases("demo.factory.measured", n=size), class_="note", style="margin:12px 0 0"
    )
    return tag("div", tag("div", table, class_="scroll"), note)


def _range(value: Estimate) -> str:
    return f"{100 * value.low:.1f}\N{EN DASH}{100 * value.high:.1f}"


def _chart(
    rows: list[tuple[str, Estimate | None, Estimate]], title: str, phrases: Phrases
) -> Markup:
    description = " ".join(
        phrases("align.scores.row", name=name, after=str(now), before=str(was) if was else "-")
        for name, was, now in rows
    )
    return interval_chart(
        [Interval(name, was, now) for name, was, now in rows],
        title=title,
        description=description,
        before=phrases("align.scores.before"),
        after=phrases("align.scores.after"),
    )
