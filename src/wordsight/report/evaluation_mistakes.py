"""The worst mistakes of a result as pictures, and everything that no number covers."""

from collections.abc import Sequence

from wordsight.evaluation.inspection import is_defective
from wordsight.evaluation.results import Prediction, Result
from wordsight.language import Phrases
from wordsight.report.evaluation_content import Content
from wordsight.report.evaluation_rows import method_name
from wordsight.report.page import Markup, tag, words

MAX_MISTAKES = 12
MAX_UNREADABLE = 100
SIDE = 320


def worst(
    predictions: Sequence[Prediction], positive: Sequence[str]
) -> list[tuple[Prediction, float]]:
    """Return what was wrong, the surest mistakes first, with how sure it was.

    Where there are defects, a mistake is a picture on the wrong side of the line, and its size the
    distance from it; missed defects and false alarms take turns, so that neither kind crowds out
    the other. Else it is a wrong guess, and its size the probability of that guess.
    """
    if not positive or any(one.margin is None for one in predictions):
        wrong = [(one, one.scores.get(one.guess, 0.0)) for one in predictions if not one.is_correct]
        return sorted(wrong, key=lambda item: -item[1])
    kinds: list[list[tuple[Prediction, float]]] = [[], []]
    for one, is_defect in zip(predictions, is_defective(predictions, positive), strict=True):
        margin = one.margin or 0.0
        if (margin >= 0) != is_defect:
            kinds[0 if is_defect else 1].append((one, abs(margin)))
    ranked = [(i, kind, item) for kind, items in enumerate(kinds)
              for i, item in enumerate(sorted(items, key=lambda item: -item[1]))]  # fmt: skip
    return [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]


def mistakes_section(
    content: Content, result: Result, predictions: Sequence[Prediction]
) -> Markup | None:
    """Show the pictures of the worst mistakes; nothing where there are none."""
    say = content.phrases
    found = worst(predictions, result.positive)
    if not found:
        return None
    cards = [_card(content, result, one, size) for one, size in found[:MAX_MISTAKES]]
    method = method_name(result.method, result.shots, result.seed, say)
    return tag(
        "section",
        tag("h2", say("evaluation.mistakes.title"), tag("small", words(result.set))),
        tag(
            "p",
            say(
                "evaluation.mistakes.note",
                shown=len(cards),
                n=len(found),
                model=result.model,
                method=method,
            ),
            class_="note",
        ),
        tag("div", cards, class_="samples"),
    )


def asked_section(content: Content) -> Markup | None:
    """Show what the model read of each class, and warn of what it cannot have understood."""
    say = content.phrases
    shown: set[tuple[str, tuple[object, ...]]] = set()
    parts: list[Markup] = []
    for result in content.results:
        key = (result.set, tuple(sorted(result.asked.items())))
        if result.asked and key not in shown:
            shown.add(key)
            parts.append(_asked(result, say))
    warnings = {
        (result.model, result.unread): _unread(result, say)
        for result in content.results
        if result.unread
    }
    if not parts:
        return None
    return tag(
        "section",
        tag("h2", say("evaluation.asked.title")),
        tag("p", say("evaluation.asked.note"), class_="note"),
        tag("ul", list(warnings.values()), class_="findings between") if warnings else None,
        tag("div", parts, class_="columns"),
    )


def unmeasured_section(content: Content) -> Markup:
    """List what was left out and why, and what the numbers do not cover."""
    say = content.phrases
    bad = {
        (result.set, one.key): one.reason for result in content.results for one in result.unreadable
    }
    rows = [
        tag("tr", tag("td", words(name)), tag("td", words(key)), tag("td", words(reason)))
        for (name, key), reason in list(bad.items())[:MAX_UNREADABLE]
    ]
    names = ("set", "picture", "reason")
    head = [tag("th", say(f"evaluation.unmeasured.{name}"), scope="col") for name in names]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="plain")
    hidden = len(bad) - MAX_UNREADABLE
    return tag(
        "section",
        tag("h2", say("evaluation.unmeasured.title")),
        tag("ul", [tag("li", line) for line in _limits(content, len(bad))], class_="next"),
        tag("div", tag("div", table, class_="scroll"), class_="card after") if rows else None,
        tag("p", say("align.data.more_leaks", n=hidden), class_="note") if hidden > 0 else None,
    )


def _limits(content: Content, num_bad: int) -> list[str]:
    say = content.phrases
    lines = [
        say("evaluation.unmeasured.unreadable", n=num_bad)
        if num_bad
        else say("evaluation.unmeasured.none")
    ]
    if content.missing:
        lines.append(say("evaluate.missing", names=", ".join(content.missing)))
    for one in content.failures:
        lines.append(
            say("evaluate.failed", set=one.set, model=one.model, method=one.method,
                reason=one.reason)
        )  # fmt: skip
    remarks = dict.fromkeys(key for result in content.results for key in result.remarks)
    keys = [f"evaluation.remark.{key}" for key in remarks]
    lines += [say(key) if key in say.texts else key for key in keys]
    return [*lines, say("evaluation.unmeasured.independent")]


def _card(content: Content, result: Result, one: Prediction, size: float) -> Markup:
    say = content.phrases
    kind = say("evaluation.mistakes.wrong")
    if result.positive and one.margin is not None:
        kind = say("evaluation.mistakes.missed" if one.margin < 0 else "evaluation.mistakes.alarm")
        strength = say("evaluation.mistakes.margin", value=f"{size:.2f}")
    else:
        strength = say("evaluation.mistakes.sure", value=f"{100 * size:.1f} %")
    return tag(
        "article",
        content.show(result.set, one.key, SIDE),
        tag(
            "div",
            tag("h3", kind),
            tag("p", say("evaluation.mistakes.truth"), " ", words(", ".join(one.truth))),
            tag("p", say("evaluation.mistakes.guess"), " ", words(one.guess)),
            tag("p", strength, class_="soft"),
            tag("div", words(one.key), class_="path"),
        ),
        class_="card sample",
    )


def _asked(result: Result, say: Phrases) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", words(name), scope="row"),
            tag("td", [tag("div", words(text, dir="auto")) for text in texts], class_="text"),
        )
        for name, texts in result.asked.items()
    ]
    names = ("class", "read")
    head = [tag("th", say(f"evaluation.asked.{name}"), scope="col") for name in names]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="plain")
    return tag("div", tag("h3", words(result.set)), table, class_="card")


def _unread(result: Result, say: Phrases) -> Markup:
    return tag(
        "li",
        tag("b", say("align.level.warn")),
        tag("span", say("evaluation.asked.unread", model=result.model), " ",
            [[words(f"\N{LEFT CORNER BRACKET}{text}\N{RIGHT CORNER BRACKET}"), " "]
             for text in result.unread]),
        class_="warn",
    )  # fmt: skip
