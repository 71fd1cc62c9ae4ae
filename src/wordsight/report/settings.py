"""Settings and environment of a run, folded away at the end of a page."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from wordsight.language import Phrases
from wordsight.report.page import Markup, tag, words


def settings_section(
    config: Mapping[str, Any], environment: Mapping[str, Any], phrases: Phrases
) -> Markup:
    """Show every setting, and what the run was made with."""
    tables = {"config": config, "environment": environment}
    folded = [
        tag("details", tag("summary", phrases(f"align.settings.{name}")), rows_table(_flat(table)))
        for name, table in tables.items()
    ]
    return tag(
        "section",
        tag("h2", phrases("align.settings.title")),
        tag("div", folded, class_="card"),
    )


def rows_table(rows: Iterable[tuple[str, str]]) -> Markup:
    """Show names and values in two columns."""
    lines = [tag("tr", tag("td", words(name)), tag("td", words(value))) for name, value in rows]
    return tag("table", tag("tbody", lines))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(cast(Mapping[str, Any], value), f"{prefix}{name}.")
        else:
            yield (
                prefix + name,
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
            )
