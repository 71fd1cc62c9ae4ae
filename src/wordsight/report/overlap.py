"""The page of an overlap analysis: the numbers, and every pair that was found side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.evaluation.overlap import OverlapEffect
from wordsight.files import write_text
from wordsight.language import Phrases
from wordsight.metrics import Estimate
from wordsight.report.page import Markup, page, picture, tag, words

MAX_PAIRS = 300


@dataclass(frozen=True, slots=True)
class ShownPair:
    """An evaluation picture beside the training picture it is like, both as data URIs."""

    evaluation: str
    train: str
    evaluation_image: str
    train_image: str
    likeness: float
    by: str


def write_overlap_page(
    path: Path,
    pairs: Sequence[ShownPair],
    *,
    num_pairs: int,
    share: Estimate,
    effect: OverlapEffect | None,
    say: Phrases,
) -> None:
    """Write a self-contained page; the least alike pairs come first, as they are to be doubted.

    Args:
        path: the file.
        pairs: what to draw, least alike first.
        num_pairs: how many were found; the page says so if they are more than drawn.
        share: of the evaluation pictures that have a copy.
        effect: what that did to the accuracy of a model; None if no model was asked.
        say: phrases of the language.
    """
    partial = say("overlap.partial", shown=len(pairs), n=num_pairs)
    body = (
        tag("p", tag("b", "wordsight"), class_="brand"),
        tag("h1", say("overlap.title")),
        tag("p", say("overlap.lead", share=share), class_="lead"),
        _effect(effect, say) if effect else None,
        tag(
            "section",
            tag("h2", say("overlap.pairs"), tag("small", f"{num_pairs:,}")),
            tag("p", say("overlap.pairs_note"), class_="note"),
            tag("p", partial, class_="note") if num_pairs > len(pairs) else None,
            tag("div", [_pair(pair, say) for pair in pairs], class_="columns"),
        ),
        tag("footer", say("report.footer")),
    )
    write_text(path, page(say("overlap.title"), *body, language=say.language))


def effect_rows(effect: OverlapEffect, say: Phrases) -> list[list[str]]:
    """Return name and value of every number of the analysis, for a table."""
    overlap = say("overlap.none") if effect.overlap is None else format(effect.overlap)
    return [
        [say("overlap.all"), format(effect.all)],
        [say("overlap.clean"), format(effect.clean)],
        [say("overlap.overlap"), overlap],
        [say("overlap.gain"), format(effect.gain, ".2")],
        [say("overlap.p_binomial"), f"{effect.p_binomial:.3g}"],
        [say("overlap.p_exact"), f"{effect.p_exact:.3g}"],
        [say("overlap.verdict"), say("overlap.found" if effect.is_found else "overlap.not_found")],
    ]


def _effect(effect: OverlapEffect, say: Phrases) -> Markup:
    rows = [
        tag("tr", tag("th", name), tag("td", value)) for name, value in effect_rows(effect, say)
    ]
    table = tag("table", tag("tbody", rows))
    return tag("section", tag("h2", say("overlap.effect")), tag("div", table, class_="card scroll"))


def _pair(pair: ShownPair, say: Phrases) -> Markup:
    likeness = say(f"overlap.by.{pair.by}", likeness=pair.likeness)
    return tag(
        "article",
        tag(
            "div",
            picture(pair.evaluation_image, pair.evaluation),
            picture(pair.train_image, pair.train),
            class_="twins",
        ),
        tag("div", likeness, class_="row"),
        tag("div", words(pair.evaluation), " / ", words(pair.train), class_="path"),
        class_="card",
    )
