"""Which classes are taken for which: a table of counts, shaded by the share of its row."""

from collections.abc import Sequence

from wordsight.errors import InputError
from wordsight.language import Phrases
from wordsight.report.page import Markup, tag, words

MAX_CLASSES = 20


def confusion_table(
    names: Sequence[str], counts: Sequence[Sequence[int]], *, phrases: Phrases
) -> Markup:
    """Build the table: a row for each true class, a column for each answer.

    Shading repeats what the numbers say, so nothing hangs on colour; the diagonal is bold.

    Args:
        names: classes in the order of rows and columns.
        counts: `counts[truth][answer]`, one row for each name.

    Raises:
        InputError: if the counts are not square, or do not have one row for each name.
    """
    if len(counts) != len(names) or any(len(row) != len(names) for row in counts):
        raise InputError(f"expected {len(names)} x {len(names)} counts, one row for each class")
    head = tag(
        "tr",
        tag("th", phrases("evaluation.confusion.corner"), scope="col"),
        [tag("th", words(name), scope="col") for name in names],
        tag("th", phrases("evaluation.confusion.all"), scope="col"),
    )
    rows = [_row(name, i, counts[i]) for i, name in enumerate(names)]
    caption = tag("caption", phrases("evaluation.confusion.caption"))
    table = tag("table", caption, tag("thead", head), tag("tbody", rows), class_="confusion")
    return tag("div", table, class_="scroll")


def _row(name: str, place: int, counts: Sequence[int]) -> Markup:
    total = sum(counts)
    cells = [
        tag(
            "td",
            tag("b", f"{count:,}") if i == place else f"{count:,}",
            style=f"--share:{100 * count / total:.0f}%" if total else None,
            class_="right" if i == place else "wrong",
        )
        for i, count in enumerate(counts)
    ]
    return tag("tr", tag("th", words(name), scope="row"), cells, tag("td", f"{total:,}"))
