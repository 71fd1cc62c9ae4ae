"""What a check noticed, as a list on a page."""

from collections.abc import Sequence

from wordsight.language import Phrases
from wordsight.report.page import Markup, tag, words
from wordsight.report.run import Finding


def findings_list(findings: Sequence[Finding], phrases: Phrases) -> Markup:
    """Show each finding behind its level, which colour alone does not tell."""
    items = [
        tag(
            "li",
            tag("b", phrases(f"align.level.{finding.level}")),
            words(finding.text),
            class_=finding.level,
        )
        for finding in findings
    ]
    return tag("ul", items, class_="findings")
