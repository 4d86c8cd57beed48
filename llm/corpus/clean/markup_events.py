"""A page as one flat list of events, in the order of its markup.

libxml2 (2.14 and later: HTML 5's tokenizer) calls back for every start, text and end, so that no
tree is built, nothing recurses, and a page too large or too deep is left where that shows. A
subtree is a slice of the list: what is not wanted is stepped over in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from llm.errors import ExpectedError

# Without text for a reader. What a <script> holds is kept where it is data or a formula.
_SILENT_TAGS = (
    "script style noscript svg canvas iframe object embed applet audio video map option datalist "
    "textarea frameset noframes"
)
_SILENT = frozenset(_SILENT_TAGS.split())
_DATA = frozenset(("application/ld+json", "math/tex", "math/tex; mode=display"))
_SURROGATES = re.compile("[\ud800-\udfff]")


class TooManyNodesError(ExpectedError, ValueError):
    """The page has more elements than allowed."""


class TooDeepError(ExpectedError, ValueError):
    """Elements of the page are nested deeper than allowed."""


@dataclass
class MarkupEvents:
    """A parsed page.

    Attributes:
        events: text as `str`; the start of element i as the integer i, its end as ~i.
        tags: of each element, in order of their starts, lower case.
        attributes: of each element.
        parents: the element each is in; -1 for the first.
        begin, finish: where in `events` an element starts and ends.
        after: the number of the first element behind it and all that is in it.
    """

    events: list[int | str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[dict[str, str]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    begin: list[int] = field(default_factory=list)
    finish: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)

    def children(self, element: int) -> Iterator[int]:
        """Elements directly in an element."""
        child, end = element + 1, self.after[element]
        while child < end:
            yield child
            child = self.after[child]

    def text(self, element: int) -> str:
        """All text in an element, as it is in the page."""
        inside = self.events[self.begin[element] : self.finish[element]]
        return "".join(event for event in inside if isinstance(event, str))


class _Collector:
    """lxml's parser target (https://lxml.de/parsing.html#the-target-parser-interface)."""

    def __init__(self, max_nodes: int, max_depth: int) -> None:
        self.page = MarkupEvents()
        self._open: list[int] = []
        self._silent = -1  # the element in which nothing is heard
        self._max_nodes, self._max_depth = max_nodes, max_depth

    def start(self, tag: str, attributes: Any) -> None:
        page, opened = self.page, self._open
        number = len(page.tags)
        if number >= self._max_nodes:
            raise TooManyNodesError(f"more than {self._max_nodes} elements are in the page")
        if len(opened) >= self._max_depth:
            raise TooDeepError(f"elements are nested more than {self._max_depth} deep")
        page.parents.append(opened[-1] if opened else -1)
        opened.append(number)
        page.tags.append(tag)
        page.attributes.append(attributes)
        page.begin.append(len(page.events))
        page.finish.append(0)
        page.after.append(0)
        page.events.append(number)
        if (
            self._silent < 0
            and tag in _SILENT
            and (tag != "script" or attributes.get("type", "").strip().lower() not in _DATA)
        ):
            self._silent = number

    def end(self, tag: str) -> None:
        number = self._open.pop()
        page = self.page
        if self._silent == number:
            self._silent = -1
        page.finish[number] = len(page.events)
        page.after[number] = len(page.tags)
        page.events.append(~number)

    def data(self, text: str) -> None:
        if self._silent < 0:
            self.page.events.append(text)

    def comment(self, text: str) -> None:
        pass

    def pi(self, target: str, data: str | None = None) -> None:
        pass

    def close(self) -> MarkupEvents:
        return self.page


def parse(markup: str, max_nodes: int, max_depth: int) -> MarkupEvents:
    """The events of a page.

    Args:
        markup: decoded HTML or XHTML.
        max_nodes: elements it may have.
        max_depth: elements an element may be nested in, itself included.

    Raises:
        TooManyNodesError, TooDeepError: the page passes a limit.
    """
    collector = _Collector(max_nodes, max_depth)
    parser = etree.HTMLParser(target=collector, encoding="utf-8", huge_tree=True)
    try:
        data = markup.encode()
    except UnicodeEncodeError:
        data = _SURROGATES.sub("\ufffd", markup).encode()
    parser.feed(data)
    page: MarkupEvents = parser.close()
    return page
