"""Structural checks of HTML with the standard library's parser."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr"}
ATTRIBUTES = {
    "alt", "aria-hidden", "aria-label", "charset", "class", "content", "cx", "cy", "decoding",
    "dir", "height", "href", "http-equiv", "id", "lang", "loading", "name", "points", "r", "role",
    "scope", "src", "stroke-width", "style", "text-anchor", "title", "viewbox", "x", "x1", "x2",
    "y", "y1", "y2",
}  # fmt: skip


class Structure(HTMLParser):
    """Collects elements, attributes and text; fails on tags that do not match."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag, class_=None):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check_page(source):
    """Assert that a page is whole, closed, offline and without scripts; return its structure."""
    assert source.startswith("<!doctype html>\n")
    page = Structure(source)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "base", "form", "video"}
    [policy] = [a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")
    assert "script" not in policy["content"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert attributes.keys() <= ATTRIBUTES, (tag, attributes)
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), attributes[name][:60]
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids
        if tag == "img":
            assert attributes["alt"]
    [style] = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", source)
    return page
