"""The numbers of an evaluation: every result with its interval, and which of two is better."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from wordsight.evaluation.curve import ShotPoint, few_shot_curve
from wordsight.evaluation.results import Result
from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.evaluation_content import Content
from wordsight.report.evaluation_rows import comparison_rows, method_name
from wordsight.report.evaluation_verdict import interval, percent
from wordsight.report.page import Markup, tag, words


def results_section(content: Content) -> Markup:
    """Show sets x models x methods; draws of examples are averaged, single draws folded away."""
    say = content.phrases
    names = ("set", "model", "method", "metric", "value")
    head = [tag("th", say(f"evaluate.column.{name}"), scope="col") for name in names]
    head.append(tag("th", say("evaluation.column.n"), scope="col"))
    rows = [_result_row(result, say) for result in content.results if result.shots is None]
    for (set_name, model), points in curve_points(content).items():
        rows += [_point_row(set_name, model, point, say) for point in points]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="plain")
    return tag(
        "section",
        tag("h2", say("evaluation.results.title")),
        tag("p", say("evaluation.results.note"), class_="note"),
        tag("p", say("evaluation.results.nearest"), class_="note")
        if any(result.positive for result in content.results)
        else None,
        tag("div", tag("div", table, class_="scroll"), class_="card"),
        _all_numbers(content.results, say),
    )


def curve_points(content: Content) -> dict[tuple[str, str], tuple[ShotPoint, ...]]:
    """Return the accuracy by the number of examples, for each data set and model that has it.

    Draws that judged different pictures, as cross-validations do after a picture was lost, cannot
    be averaged picture by picture, and are left out.
    """
    drawn: dict[tuple[str, str], dict[int, list[list[bool]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for result in content.results:
        if result.method == "few-shot" and result.shots is not None:
            said = content.predictions(result)
            drawn[result.set, result.model][result.shots].append([one.is_correct for one in said])
    found: dict[tuple[str, str], tuple[ShotPoint, ...]] = {}
    for place, by_shots in drawn.items():
        whole = {
            shots: np.array(marks)
            for shots, marks in by_shots.items()
            if len({len(row) for row in marks}) == 1
        }
        if whole:
            found[place] = few_shot_curve(whole)
    return found


def comparisons_section(content: Content) -> Markup | None:
    """Show the paired comparison of every two models, with p-values that hold for all of them."""
    if not content.comparisons:
        return None
    say = content.phrases
    columns, rows = comparison_rows(content.comparisons, say)
    head = [tag("th", name, scope="col") for name in columns]
    body = [
        tag("tr", tag("th", words(row[0]), scope="row"), [tag("td", words(c)) for c in row[1:]])
        for row in rows
    ]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="plain")
    return tag(
        "section",
        tag("h2", say("evaluation.comparison.title")),
        tag("p", say("evaluation.comparison.note", n=len(rows)), class_="note"),
        tag("div", tag("div", table, class_="scroll"), class_="card"),
    )


def _result_row(result: Result, say: Phrases) -> Markup:
    method = method_name(result.method, None, None, say)
    settled = tag("small", words(result.algorithm)) if result.algorithm else None
    return tag(
        "tr",
        tag("th", words(result.set), scope="row"),
        tag("td", words(result.model)),
        tag("td", method, settled),
        tag("td", say(f"evaluate.metric.{result.metric}")),
        _value(result.estimate, chance=result.chance, say=say),
        tag("td", f"{result.n:,}"),
    )


def _point_row(set_name: str, model: str, point: ShotPoint, say: Phrases) -> Markup:
    method = say(
        "evaluation.results.draws",
        method=say("evaluate.method.few_shot"),
        shots=point.shots,
        n=len(point.scores),
    )
    return tag(
        "tr",
        tag("th", words(set_name), scope="row"),
        tag("td", words(model)),
        tag("td", method),
        tag("td", say("evaluate.metric.accuracy")),
        _value(point.estimate, chance=None, say=say),
        tag("td", f"{point.estimate.n:,}"),
    )


def _value(estimate: Estimate, *, chance: float | None, say: Phrases) -> Markup:
    guess = None
    if chance is not None:
        by_chance = say("evaluation.results.chance", value=f"{100 * chance:.3g} %")
        guess = tag("small", by_chance)
    return tag("td", tag("b", percent(estimate)), tag("small", interval(estimate)), guess)


def _all_numbers(results: Sequence[Result], say: Phrases) -> Markup:
    names = ("set", "model", "method", "metric", "value")
    rows = [
        tag(
            "tr",
            tag("td", words(result.set)),
            tag("td", words(result.model)),
            tag("td", method_name(result.method, result.shots, result.seed, say)),
            tag("td", measure_name(name, say)),
            tag("td", str(value)),
        )
        for result in results
        for name, value in {result.metric: result.estimate, **result.others}.items()
    ]
    head = tag("tr", [tag("th", say(f"evaluate.column.{name}"), scope="col") for name in names])
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="plain")
    return tag(
        "details",
        tag("summary", say("evaluation.results.all")),
        tag("div", table, class_="scroll"),
        class_="card",
        style="margin-top:16px",
    )


def measure_name(name: str, say: Phrases) -> str:
    """Return what a metric is called; one without a phrase keeps its name."""
    for key in (f"evaluate.metric.{name}", f"evaluation.measure.{name}"):
        if key in say.texts:
            return say(key)
    return name.replace("_", " ")
