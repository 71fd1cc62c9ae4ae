"""The report of an evaluation: good enough or not, how sure that is, and where it goes wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path

from wordsight.data.labelled import read_labelled
from wordsight.errors import DataError, WordsightError
from wordsight.evaluation.results import Result
from wordsight.files import write_text
from wordsight.images import ImageSource
from wordsight.report.evaluation_charts import curves_section, detail_section
from wordsight.report.evaluation_content import Content, Find
from wordsight.report.evaluation_mistakes import (
    asked_section,
    mistakes_section,
    unmeasured_section,
)
from wordsight.report.evaluation_tables import comparisons_section, results_section
from wordsight.report.evaluation_verdict import headline, verdict_overview, verdict_section
from wordsight.report.page import Markup, page, tag, words

REPORT = "report.html"
MAX_DETAILED = 8
"""Data sets whose charts and mistakes are drawn; the tables have all."""


def write_report(content: Content) -> Path:
    """Write `report.html` into the folder of an evaluation and return its path.

    One file without scripts. Every number stands with its n and a 95 % interval; a picture that
    can no longer be read is replaced by the reason.

    Raises:
        DataError: if there are no results, or predictions are missing or damaged.
    """
    say = content.phrases
    if not content.results:
        raise DataError(f"{content.folder}: nothing was measured; there is nothing to report")
    fronts = content.fronts()
    first, beneath = headline(*fronts[0], say)
    body = (
        tag(
            "header",
            tag("p", tag("b", "wordsight"), " \N{MIDDLE DOT} ", words(content.results[0].suite),
                class_="brand"),
            tag("h1", first),
            tag("p", words(beneath), class_="lead"),
            _facts(content),
        ),
        [
            verdict_section(result, inspection, say)
            for result, inspection in fronts
            if inspection is not None and inspection.measures
        ],
        verdict_overview(content),
        results_section(content),
        comparisons_section(content),
        curves_section(content),
        [_details(content, place) for place in range(min(len(fronts), MAX_DETAILED))],
        asked_section(content),
        unmeasured_section(content),
        tag("footer", say("report.footer")),
    )  # fmt: skip
    path = content.folder / REPORT
    write_text(path, page(say("evaluation.title"), *body, language=say.language))
    return path


def find_pictures(results: Sequence[Result]) -> Find:
    """Return what finds the pictures of results where their data sets were read from.

    A data set is opened when the first of its pictures is asked for. One that is gone, or changed
    so that it cannot be read, has no pictures to show.
    """
    sources = {result.set: result.source for result in results}
    opened: dict[str, Callable[[str], ImageSource | None]] = {}

    def find(set_name: str, key: str) -> ImageSource | None:
        if set_name not in opened:
            opened[set_name] = _finder(sources.get(set_name, ""))
        return opened[set_name](key)

    return find


def _finder(source: str) -> Callable[[str], ImageSource | None]:
    try:
        pictures = read_labelled(source, max_bad=1_000_000)
    except WordsightError:
        return _nowhere
    place = {key: i for i, key in enumerate(pictures.keys)}
    return lambda key: pictures.images[place[key]] if key in place else None


def _nowhere(_: str) -> None:
    """Find nothing: the data set is gone."""


def _facts(content: Content) -> Markup:
    results = content.results
    pictures = {result.set: result.n for result in results}
    values = {
        "sets": f"{len(pictures):,}",
        "models": f"{len({result.model for result in results}):,}",
        "pictures": f"{sum(pictures.values()):,}",
        "results": f"{len(results):,}",
    }
    facts = [
        tag("div", tag("span", content.phrases(f"evaluation.facts.{name}")), tag("b", value),
            class_="fact")
        for name, value in values.items()
    ]  # fmt: skip
    return tag("div", facts, class_="facts")


def _details(content: Content, place: int) -> list[Markup | None]:
    result, inspection = content.fronts()[place]
    predictions = content.predictions(result)
    return [
        detail_section(result, inspection, predictions, content.phrases),
        mistakes_section(content, result, predictions),
    ]
