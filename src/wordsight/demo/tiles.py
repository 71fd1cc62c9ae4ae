"""Small pieces of the demo's page: a picture with text, a bar, a verdict."""

from pathlib import Path

from wordsight.images import data_uri, open_image
from wordsight.report.page import Markup, picture, tag, words


def tile(path: Path, description: str, side: int, *content: Markup | None) -> Markup:
    """Show a picture with something beneath it."""
    image = data_uri(open_image(path), max_side=side)
    return tag("article", picture(image, description), tag("div", *content), class_="card tile")


def bar(label: str, share: float, *, is_chosen: bool) -> Markup:
    """Show a share of 1 as a bar with its name and percentage."""
    percent = f"{100 * share:.0f} %"
    return tag(
        "li",
        tag("span", words(label), tag("span", percent, style="flex:none"), class_="row"),
        tag("span", tag("i", style=f"width:{100 * share:.1f}%"), class_="bar", aria_hidden="true"),
        class_="chosen" if is_chosen else None,
    )


def verdict(text: str, *, is_right: bool) -> Markup:
    """Say whether an answer is right, in words, with a mark and in colour."""
    mark = "\N{CHECK MARK}" if is_right else "\N{MULTIPLICATION X}"
    colour = "ok" if is_right else "stop"
    return tag("div", f"{mark} {text}", style=f"color:var(--{colour});font-size:13px")
