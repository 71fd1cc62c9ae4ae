"""How a run learnt: its losses and scores by epoch, with the epoch that was kept."""

import math
from collections.abc import Sequence

from wordsight.language import Phrases
from wordsight.report.charts import Marker, Series, line_chart
from wordsight.report.page import Markup, tag
from wordsight.report.run import Epoch, Run


def curves_section(run: Run, phrases: Phrases) -> Markup:
    """Draw losses and recalls; a measure that no epoch has is left out."""
    best = run.results.best_epoch
    stopped = phrases("align.curves.stopped") if run.results.stopped_early else None
    wanted = {
        "loss": {"train": "train_loss", "val": "val_loss"},
        "recall": {
            "image_to_text": "val_image_to_text_r1",
            "text_to_image": "val_text_to_image_r1",
        },
    }
    charts: list[Markup] = []
    for name, fields in wanted.items():
        lines = [
            line
            for label, field in fields.items()
            if (line := _series(phrases(f"align.curves.{label}"), run.epochs, field)).points
        ]
        if lines:
            charts.append(
                line_chart(
                    lines,
                    title=phrases(f"align.curves.{name}"),
                    description=" ".join(_describe(line, phrases) for line in lines),
                    x_label=phrases("align.curves.epoch"),
                    marker=Marker(best, phrases("align.curves.kept", epoch=best)),
                    percent=name == "recall",
                )
            )
    cards = [tag("div", chart, class_="card") for chart in charts]
    return tag(
        "section",
        tag("h2", phrases("align.curves.title")),
        tag(
            "p",
            phrases("align.curves.note", epoch=best),
            [tag("br"), stopped] if stopped else None,
            class_="note",
        ),
        tag("div", cards, class_="columns"),
    )


def _series(name: str, epochs: Sequence[Epoch], field: str) -> Series:
    """A value that is null or NaN in one epoch leaves a gap; a line of gaps has no points."""
    values: list[float | None] = [getattr(epoch, field) for epoch in epochs]
    points = [
        (float(epoch.epoch), math.nan if value is None else value)
        for epoch, value in zip(epochs, values, strict=True)
    ]
    return Series(name, points if any(math.isfinite(y) for _, y in points) else [])


def _describe(line: Series, phrases: Phrases) -> str:
    values = [f"{y:.3g}" for _, y in line.points if math.isfinite(y)]
    return phrases("align.curves.describe", name=line.name, first=values[0], last=values[-1])
