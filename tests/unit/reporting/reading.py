"""Reads a report as a browser does."""

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = ("meta",)
FORBIDDEN = ("script", "link", "img", "iframe", "object", "embed", "form", "input", "base", "video", "audio")


class Page(HTMLParser):
    """The elements of a page in their order, and its text. Fails at an element that is closed in the wrong place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        """Name, and names of the attributes."""
        self.attributes: list[tuple[str, str, str]] = []
        """Element, name, value."""
        self.text = ""
        self.headings: list[tuple[int, str]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            level, text = self.headings.pop()
            self.headings.append((level, text + data))


def self_contained(page: str) -> Page:
    """The page, after it has been made sure that it loads nothing, runs nothing and asks the browser for that too."""
    read = Page(page)
    assert not {*read.tags} & {*FORBIDDEN}
    assert "style" not in [name for _, name, _ in read.attributes]
    assert not [name for _, name, _ in read.attributes if name.startswith("on") or name in ("src", "srcset")]
    assert not re.search(r"url\(|@import", page)
    links = [value for _, name, value in read.attributes if name == "href"]
    assert not [link for link in links if ":" in link or link.startswith("/")], "only files beside the page"
    [policy] = [value for _, _, value in read.attributes if value.startswith("default-src")]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    return read


def accessible(page: str) -> Page:
    """The page, after it has been made sure that headings, tables and charts can be read without seeing them."""
    read = Page(page)
    levels = [level for level, _ in read.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels)), levels
    assert all(text.strip() for _, text in read.headings)
    scopes = [names for tag, names in read.elements if tag == "th"]
    assert all("scope" in names for names in scopes)
    charts = re.findall(r"<svg[^>]*>(.{0,40})", page, re.DOTALL)
    assert all(begin.startswith("<title>") for begin in charts)
    assert page.count("<svg ") == page.count("<desc>") == len(re.findall(r'<svg [^>]*role="img"', page))
    assert "<desc></desc>" not in page
    assert {"header", "main", "footer"} <= {*read.tags}
    assert ("html", "lang", "en") in read.attributes
    return read
