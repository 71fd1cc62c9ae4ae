"""HTML by construction: text is escaped, only elements built here are markup, nothing is fetched.

A page is one file. Its content-security policy forbids scripts and every network request, so it
can be opened from a USB stick on an air-gapped machine and mailed to a colleague.
"""

import html
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Self, TypeAlias

from wordsight.errors import InputError

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_VOID = frozenset({"br", "hr", "img", "meta"})
_LINKS = frozenset({"href", "src"})
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class Markup(str):
    """HTML that is already safe; only `tag`, `group` and trusted constants make it."""

    __slots__ = ()

    @classmethod
    def join_all(cls, parts: Iterable[str]) -> Self:
        """Join pieces that are markup already."""
        return cls("".join(parts))


Child: TypeAlias = str | int | Iterable["Child"] | None


def escape(text: str) -> str:
    """Make text harmless in an element or a quoted attribute.

    Control characters and halves of surrogate pairs, which HTML cannot hold, become U+FFFD, and
    so do the marks that make `exe.png` out of `gnp.exe`.
    """
    return html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text))


def group(*children: Child) -> Markup:
    """Put children side by side: text is escaped, markup kept, None left out, lists flattened."""
    return Markup.join_all(_pieces(children))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Build one element; `tag("p", "a < b", class_="note")` is `<p class="note">a &lt; b</p>`.

    A trailing underscore of an attribute name is dropped and others become hyphens; None and
    False leave the attribute out, True writes it without a value.

    Raises:
        InputError: for a link or picture that is not inside the page itself.
    """
    written = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{group(*children)}</{name}>")


def words(text: str, **attributes: str) -> Markup:
    """Show text written by others; its direction cannot leak into the text around it."""
    return tag("bdi", text, **attributes)


def picture(image: str | None, description: str, *, reason: str = "") -> Markup:
    """Show a picture given as a data URI, or the reason why there is none."""
    if image is None:
        return tag("div", tag("span", words(reason)), class_="no-picture")
    return tag("img", src=image, alt=description, loading="lazy", decoding="async")


def page(title: str, *body: Child, language: str) -> str:
    """Return the whole HTML file, with the style sheet of the package inside.

    Args:
        language: `en` or `ja`; it chooses the fonts and what a screen reader speaks.
    """
    css = (files("wordsight") / "report" / "page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(css)),
    )
    main = tag("body", tag("main", *body))
    return f"<!doctype html>\n{tag('html', head, main, lang=language)}\n"


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if name in _LINKS and not text.startswith(("data:image/", "#")):
        raise InputError(f"{name}={text[:60]!r} leads outside the page, expected data:image/ or #")
    return f' {name}="{escape(text)}"'


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        elif isinstance(child, int):
            yield str(child)
        elif child is not None:
            yield from _pieces(child)
