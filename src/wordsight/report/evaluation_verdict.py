"""Is it good enough? The targets, what was measured, and how many more pictures would tell."""

import math
from collections.abc import Sequence

from wordsight.evaluation.inspection import Inspection, Judgement, Measured
from wordsight.evaluation.results import Result
from wordsight.evaluation.verdict import Outcome
from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.metrics.inspection import LineRates, PerThousand
from wordsight.report.evaluation_content import Content
from wordsight.report.evaluation_rows import method_name
from wordsight.report.page import Markup, tag, words

_LEVEL = {"met": "ok", "not_met": "stop", "cannot_tell": "warn"}


def headline(result: Result, inspection: Inspection | None, say: Phrases) -> tuple[str, str]:
    """Return the first sentence of the page and the one beneath it."""
    method = method_name(result.method, result.shots, result.seed, say)
    if inspection is None or inspection.outcome is None:
        measure = say(f"evaluate.metric.{result.metric}")
        first = say("evaluation.headline.plain", measure=measure, value=percent(result.estimate))
        return first, say(
            "evaluation.headline.by", set=result.set, model=result.model, method=method, n=result.n
        )
    first = say(f"evaluation.headline.{inspection.outcome}")
    found = [_sentence(one, say) for one in inspection.judgements]
    by = say(
        "evaluation.headline.by", set=result.set, model=result.model, method=method, n=result.n
    )
    return first, " ".join([*found, by])


def verdict_section(result: Result, inspection: Inspection, say: Phrases) -> Markup:
    """Show every target with its verdict, and what the rates mean on the line."""
    judged = inspection.judgements
    return tag(
        "section",
        tag("h2", say("evaluation.verdict.title"), tag("small", words(result.set))),
        tag("p", say("evaluation.verdict.note"), class_="note"),
        _table([_row(one, say) for one in judged], "target", say) if judged else None,
        tag("p", _corrected(len(judged), say), class_="note after") if judged else None,
        _measured_table(inspection, say),
        _line_card(inspection.line, say) if inspection.line else None,
    )


def judgement_rows(inspection: Inspection, say: Phrases) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the verdicts on one result, for a terminal."""
    names = ("target", "found", "verdict", "needed")
    rows = [
        [
            f"{say(f'evaluation.goal.{one.goal.name}')} {wanted(one)}",
            "{} ({})".format(*found_and_range(one)),
            say(f"evaluate.outcome.{one.verdict.outcome}"),
            needed(one, say),
        ]
        for one in inspection.judgements
    ]
    return [say(f"evaluation.column.{name}") for name in names], rows


def verdict_overview(content: Content) -> Markup | None:
    """Show the verdict of every result on every target, where there are several; not of draws."""
    say = content.phrases
    judged = [
        (result, one)
        for result, one in zip(content.results, content.inspections, strict=True)
        if one is not None and one.judgements and result.shots is None
    ]
    if len(judged) < 2:
        return None
    names = list(dict.fromkeys(one.goal.name for _, found in judged for one in found.judgements))
    head = [say("evaluate.column.set"), say("evaluate.column.model"), say("evaluate.column.method")]
    head += [say(f"evaluation.goal.{name}") for name in names]
    rows = [
        tag(
            "tr",
            tag("th", words(result.set), scope="row"),
            tag("td", words(result.model)),
            tag("td", method_name(result.method, result.shots, result.seed, say)),
            [_cell(name, found.judgements, say) for name in names],
        )
        for result, found in judged
    ]
    table = tag(
        "table",
        tag("thead", tag("tr", [tag("th", name, scope="col") for name in head])),
        tag("tbody", rows),
        class_="plain left",
    )
    return tag(
        "section",
        tag("h2", say("evaluation.overview.title")),
        tag("p", say("evaluation.overview.note", n=sum(len(f.judgements) for _, f in judged)),
            class_="note"),
        tag("div", tag("div", table, class_="scroll"), class_="card"),
    )  # fmt: skip


def badge(outcome: Outcome, say: Phrases) -> Markup:
    """Return the verdict as a word on a tinted ground."""
    return tag("span", say(f"evaluate.outcome.{outcome}"), class_=f"badge {_LEVEL[outcome]}")


def percent(estimate: Estimate) -> str:
    """Write the value alone, with one decimal."""
    return f"{100 * estimate.value:.1f} %"


def interval(estimate: Estimate) -> str:
    """Write the limits of a share."""
    return f"{100 * estimate.low:.1f}\N{EN DASH}{100 * estimate.high:.1f}"


def needed(one: Judgement, say: Phrases) -> str:
    """Say how many more pictures would decide, and of how many more parts; a dash if decided.

    More pictures of the parts that were seen would say little: the number holds for as many
    pictures of each new part as there were of each old one.
    """
    verdict, measured = one.verdict, one.measured
    if verdict.outcome != "cannot_tell":
        return "\N{EM DASH}"
    if verdict.more_needed is None:
        return say("evaluation.needed.never")
    text = say(f"evaluation.needed.{one.goal.measure}", n=verdict.more_needed)
    if measured.groups == measured.estimate.n:
        return text
    parts = math.ceil(verdict.more_needed * measured.groups / measured.estimate.n)
    return say("evaluation.needed.parts", pictures=text, parts=parts)


def _sentence(one: Judgement, say: Phrases) -> str:
    values = {
        "goal": say(f"evaluation.goal.{one.goal.name}"),
        "value": found_and_range(one)[0],
        "outcome": say(f"evaluate.outcome.{one.verdict.outcome}"),
    }
    if one.verdict.outcome == "cannot_tell":
        values["needed"] = needed(one, say)
        return say("evaluation.headline.open", **values)
    return say("evaluation.headline.decided", **values)


def _row(one: Judgement, say: Phrases) -> Markup:
    found, limits = found_and_range(one)
    return tag(
        "tr",
        tag("th", say(f"evaluation.goal.{one.goal.name}"), scope="row"),
        tag("td", tag("b", wanted(one))),
        tag("td", tag("b", found), tag("small", limits)),
        tag("td", badge(one.verdict.outcome, say)),
        tag("td", needed(one, say)),
    )


def wanted(one: Judgement) -> str:
    """Write a target in the unit it was set in."""
    if one.goal.name == "max_false_alarms_per_1000":
        return f"\N{LESS-THAN OR EQUAL TO} {one.goal.wanted:g}"
    return f"\N{GREATER-THAN OR EQUAL TO} {100 * one.goal.wanted:.4g} %"


def found_and_range(one: Judgement) -> tuple[str, str]:
    """Write what was measured, and its limits, in the unit the target was set in."""
    estimate = one.measured.estimate
    if one.goal.name != "max_false_alarms_per_1000":
        return percent(estimate), interval(estimate)
    good = one.goal.wanted / (1 - one.goal.at_least)
    value, low, high = (good * (1 - x) for x in (estimate.value, estimate.high, estimate.low))
    return f"{value:.3g}", f"{low:.3g}\N{EN DASH}{high:.3g}"


def _table(rows: Sequence[Markup], kind: str, say: Phrases) -> Markup:
    columns = {
        "target": ("target", "wanted", "found", "verdict", "needed"),
        "measure": ("measure", "found", "pictures", "groups", "worth"),
    }[kind]
    head = [tag("th", say(f"evaluation.column.{name}"), scope="col") for name in columns]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows))
    return tag("div", tag("div", table, class_="scroll"), class_="card")


def _measured_table(inspection: Inspection, say: Phrases) -> Markup:
    rows = [_measured_row(name, one, say) for name, one in inspection.measures.items()]
    return tag(
        "div",
        tag("h3", say("evaluation.verdict.measures")),
        _table(rows, "measure", say),
        tag("p", say("evaluation.verdict.worth"), class_="note after"),
        class_="after",
    )


def _measured_row(name: str, one: Measured, say: Phrases) -> Markup:
    return tag(
        "tr",
        tag("th", say(f"evaluation.measure.{name}"), scope="row"),
        tag("td", tag("b", percent(one.estimate)), tag("small", interval(one.estimate))),
        tag("td", f"{one.estimate.n:,}"),
        tag("td", f"{one.groups:,}"),
        tag("td", f"{one.worth:.1f}" if one.worth < one.estimate.n else f"{one.estimate.n:,}"),
    )


def _corrected(count: int, say: Phrases) -> str:
    return say("evaluation.verdict.corrected", n=count, chance=f"{2.5 * count:.1f}")


def _line_card(line: LineRates, say: Phrases) -> Markup:
    rows = [("misses", _per_1000(line.misses)), ("false_alarms", _per_1000(line.false_alarms))]
    precision = line.precision
    rows.append(
        (
            "precision",
            f"{percent(precision)} ({interval(precision)})" if precision else "\N{EM DASH}",
        )
    )
    body = [
        tag("tr", tag("th", say(f"evaluation.line.{name}"), scope="row"), tag("td", value))
        for name, value in rows
    ]
    return tag(
        "div",
        tag("h3", say("evaluation.line.title", rate=f"{100 * line.defect_rate:.3g} %")),
        tag("div", tag("table", tag("tbody", body)), class_="card"),
        tag("p", say("evaluation.line.note"), class_="note after"),
        class_="after",
    )


def _per_1000(count: PerThousand) -> str:
    return f"{count.value:.3g} ({count.low:.3g}\N{EN DASH}{count.high:.3g})"


def _cell(name: str, judged: Sequence[Judgement], say: Phrases) -> Markup:
    for one in judged:
        if one.goal.name == name:
            shown = tag("small", found_and_range(one)[0])
            return tag("td", badge(one.verdict.outcome, say), shown)
    return tag("td", "\N{EM DASH}")
