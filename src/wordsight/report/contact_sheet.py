"""One page with every picture and what the model made of it, grouped by label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.config import nearest
from wordsight.errors import InputError
from wordsight.files import write_text
from wordsight.language import Phrases
from wordsight.report.page import Markup, page, picture, tag, words

MAX_PICTURES = 2000
MAX_BARS = 5


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One picture: as a data URI with its label and scores, or the reason it cannot be used.

    `scores` are (label, share between 0 and 1) in any order; the best few are drawn.
    """

    path: str
    image: str | None
    label: str = ""
    scores: Sequence[tuple[str, float]] = ()
    reason: str = ""


def write_contact_sheet(
    path: Path, rows: Sequence[SheetRow], *, title: str, phrases: Phrases, labels: Sequence[str]
) -> None:
    """Write a self-contained page of pictures, most certain first, under the label of each.

    All rows are counted; pictures are drawn for the first `MAX_PICTURES`, and the page says so.

    Args:
        labels: every label, in the order of the groups; a label nobody got is shown with 0.

    Raises:
        InputError: for a row whose label is not one of `labels`.
    """
    groups: dict[str, list[SheetRow]] = {label: [] for label in labels}
    unreadable = [row for row in rows if row.image is None]
    for row in rows:
        if row.image is not None:
            if row.label not in groups:
                raise InputError(
                    f"{row.path}: label {row.label!r} is not one of the labels",
                    hint=nearest(row.label, groups),
                )
            groups[row.label].append(row)
    shown = {id(row) for row in [row for row in rows if row.image is not None][:MAX_PICTURES]}
    sections = [
        _section(f"label-{i}", label, members, shown)
        for i, (label, members) in enumerate(groups.items())
        if members
    ]
    readable = len(rows) - len(unreadable)
    body = (
        _heading(title, readable, len(unreadable), phrases),
        _filter(groups, len(unreadable), readable, phrases),
        tag("div", sections, _unreadable(unreadable, phrases), class_="sheet"),
        tag("footer", phrases("report.footer")),
    )
    write_text(path, page(title, *body, language=phrases.language))


def _heading(title: str, readable: int, unreadable: int, phrases: Phrases) -> Markup:
    lead = phrases("classify.sheet_lead", n=readable, bad=unreadable)
    drawn = phrases("classify.sheet_partial", shown=MAX_PICTURES, n=readable)
    return tag(
        "header",
        tag("p", tag("b", "wordsight"), class_="brand"),
        tag("h1", words(title)),
        tag("p", lead, class_="lead"),
        tag("p", drawn, class_="lead") if readable > MAX_PICTURES else None,
        id="all",
    )


def _filter(
    groups: dict[str, list[SheetRow]], unreadable: int, readable: int, phrases: Phrases
) -> Markup:
    links = [_link("#all", phrases("classify.all"), readable)]
    for i, (label, members) in enumerate(groups.items()):
        links.append(_link(f"#label-{i}" if members else None, label, len(members)))
    if unreadable:
        links.append(_link("#unreadable", phrases("classify.unreadable"), unreadable))
    return tag("nav", tag("ul", links, class_="labels"), aria_label=phrases("classify.filter"))


def _link(target: str | None, name: str, count: int) -> Markup:
    return tag("li", tag("a", words(name), tag("span", f"{count:,}"), href=target))


def _section(name: str, label: str, members: Sequence[SheetRow], shown: set[int]) -> Markup:
    best_first = sorted(
        (row for row in members if id(row) in shown),
        key=lambda row: -dict(row.scores).get(label, 0),
    )
    return tag(
        "section",
        tag("h2", words(label), tag("small", f"{len(members):,}")),
        tag("div", [_tile(row) for row in best_first], class_="tiles"),
        id=name,
    )


def _tile(row: SheetRow) -> Markup:
    best = sorted(row.scores, key=lambda score: -score[1])[:MAX_BARS]
    bars = [_bar(label, share, is_chosen=label == row.label) for label, share in best]
    return tag(
        "article",
        picture(row.image, row.path),
        tag("div", tag("ul", bars, class_="bars"), tag("div", words(row.path), class_="path")),
        class_="card tile",
    )


def _bar(label: str, share: float, *, is_chosen: bool) -> Markup:
    width = 100 * min(1.0, max(0.0, share))
    return tag(
        "li",
        tag("span", words(label), tag("span", f"{100 * share:.1f} %"), class_="row"),
        tag("span", tag("i", style=f"width:{width:.1f}%"), class_="bar", aria_hidden="true"),
        class_="chosen" if is_chosen else None,
    )


def _unreadable(rows: Sequence[SheetRow], phrases: Phrases) -> Markup | None:
    if not rows:
        return None
    lines = [tag("tr", tag("td", words(row.path)), tag("td", words(row.reason))) for row in rows]
    head = tag("tr", tag("th", phrases("classify.path")), tag("th", phrases("classify.reason")))
    table = tag("table", tag("thead", head), tag("tbody", lines), class_="plain")
    return tag(
        "section",
        tag("h2", phrases("classify.unreadable"), tag("small", f"{len(rows):,}")),
        tag("p", phrases("classify.unreadable_note"), class_="note"),
        tag("div", tag("div", table, class_="scroll"), class_="card"),
        id="unreadable",
    )
