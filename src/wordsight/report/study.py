"""The page of an efficiency study: one plot and one table."""

from collections.abc import Sequence
from pathlib import Path

from wordsight.files import write_text
from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.charts import Series, line_chart
from wordsight.report.page import Markup, page, tag
from wordsight.training.study.results import Curve, StudyResults

PAGE = "study.html"
TERA = 1e12
EXPONENTS = (18, 15, 12, 9, 6)
"""Of ten: the units of an axis, which should hold a few at least."""
FEW = 3


def write_study_page(folder: Path, results: StudyResults, *, phrases: Phrases) -> Path:
    """Write `study.html` into the folder of a study and return its path."""
    say = phrases
    body = (
        tag("header", tag("h1", say("study.title")), tag("p", say("study.lead"), class_="lead")),
        tag("section", tag("div", _plot(results, phrases), class_="card")),
        tag(
            "section",
            tag("h2", say("study.end")),
            tag("div", _table(results.curves, phrases), class_="card"),
            tag("p", _note(results, phrases), class_="note"),
        ),
        tag("footer", say("report.footer")),
    )
    path = folder / PAGE
    write_text(path, page(say("study.title"), *body, language=phrases.language))
    return path


def study_rows(curves: Sequence[Curve], phrases: Phrases) -> list[list[str]]:
    """Return the last point of every curve in words, under the columns of `study_columns`."""
    return [
        [
            phrases(f"study.objective.{curve.objective}"),
            f"{curve.points[-1].samples:,}",
            f"{curve.points[-1].operations / TERA:,.3g}",
            f"{curve.points[-1].seconds:,.0f}",
            str(curve.points[-1].accuracy),
        ]
        for curve in curves
    ]


def study_columns(phrases: Phrases) -> list[str]:
    """Return the names of the columns of `study_rows`."""
    names = ("objective_name", "samples", "operations", "seconds", "accuracy")
    return [phrases(f"study.{name}") for name in names]


def _plot(results: StudyResults, phrases: Phrases) -> Markup:
    most = max(point.operations for curve in results.curves for point in curve.points)
    exponent = next((e for e in EXPONENTS if FEW * 10**e <= most), EXPONENTS[-1])
    lines = [
        Series(
            phrases(f"study.objective.{curve.objective}"),
            [(point.operations / 10**exponent, point.accuracy.value) for point in curve.points],
        )
        for curve in results.curves
    ]
    ends = [
        phrases("study.describe", name=line.name, accuracy=_percent(curve.points[-1].accuracy))
        for line, curve in zip(lines, results.curves, strict=True)
    ]
    return line_chart(
        lines,
        title=phrases("study.plot"),
        description=" ".join(ends),
        x_label=phrases("study.axis", unit=f"10^{exponent}"),
        percent=True,
    )


def _table(curves: Sequence[Curve], phrases: Phrases) -> Markup:
    head = tag("tr", [tag("th", name) for name in study_columns(phrases)])
    rows = [tag("tr", [tag("td", cell) for cell in row]) for row in study_rows(curves, phrases)]
    return tag("table", tag("thead", head), tag("tbody", rows))


def _note(results: StudyResults, phrases: Phrases) -> str:
    return phrases(
        "study.note",
        examples=f"{results.examples:,}",
        pictures=f"{results.pictures:,}",
        classes=f"{results.classes:,}",
        chance=f"{100 / results.classes:.2g}",
        architecture=results.architecture,
        batch_size=results.batch_size,
        seed=results.seed,
    )


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} %"
