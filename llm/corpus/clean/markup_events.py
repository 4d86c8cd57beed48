"""A page as one flat list of events, in the order of its markup.

libxml2 (2.14 and later: HTML 5's tokenizer) calls back for every start, text and end, so that no
tree is built, nothing recurses, and a page too large or too deep is left where that shows. A
subtree is a slice of the list: what is not wanted is stepped over in one go.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from lxml import etree

from llm.errors import ExpectedError

# Without text for a reader, and without elements that would be of use.
_SILENT_TAGS = (
    "script style noscript svg canvas iframe object embed applet audio video map option datalist "
    "textarea frameset noframes"
)
SILENT = frozenset(_SILENT_TAGS.split())
Callback = Callable[..., Any]
_SURROGATES = re.compile("[\ud800-\udfff]")


class TooManyNodesError(ExpectedError, ValueError):
    """The page has more elements than allowed."""


class TooDeepError(ExpectedError, ValueError):
    """Elements of the page are nested deeper than allowed."""


@dataclass
class MarkupEvents:
    """A parsed page.

    Attributes:
        events: text as `str`, also of scripts and styles; the start of element i as the integer
            i, its end as ~i.
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

    def taken(self) -> MarkupEvents:
        """All that is here, which then is empty."""
        mine = [getattr(self, one.name) for one in fields(self)]
        page = MarkupEvents(*(values.copy() for values in mine))
        for values in mine:
            values.clear()
        return page

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


class _Target:
    """lxml's parser target (https://lxml.de/parsing.html#the-target-parser-interface)."""

    def __init__(self, start: Callback, end: Callback, data: Callback, close: Callback) -> None:
        self.start, self.end, self.data, self.close = start, end, data, close


def _target(max_nodes: int, max_depth: int) -> _Target:
    # Called for every tag and text of every page: closures are faster here than methods.
    page = MarkupEvents()
    events, tags, kept = page.events, page.tags, page.attributes
    add_event, add_tag, add_attributes = events.append, tags.append, kept.append
    add_parent, add_begin, add_finish, add_after = (
        values.append for values in (page.parents, page.begin, page.finish, page.after)
    )
    finish, after = page.finish, page.after
    opened = [-1]
    unheard = 0  # elements in others of which nothing is heard
    silent = 0  # how many of these are open, with the first

    def start(tag: str, attributes: Any) -> None:
        nonlocal unheard, silent
        number = len(tags)
        if number + unheard >= max_nodes:
            raise TooManyNodesError(f"more than {max_nodes} elements are in the page")
        if silent:
            silent += 1
            unheard += 1
            return
        if len(opened) > max_depth:
            raise TooDeepError(f"elements are nested more than {max_depth} deep")
        add_parent(opened[-1])
        opened.append(number)
        add_begin(len(events))
        add_event(number)
        add_tag(tag)
        add_attributes(attributes)
        add_finish(0)
        add_after(0)
        if tag in SILENT:
            silent = 1

    def end(tag: str) -> None:
        nonlocal silent
        if silent:
            silent -= 1
            if silent:
                return
        number = opened.pop()
        finish[number] = len(events)
        after[number] = len(tags)
        add_event(~number)

    def close() -> MarkupEvents:
        nonlocal unheard, silent
        unheard = silent = 0
        return page.taken()

    # What is in a silent element is heard here: to ask each time costs more.
    return _Target(start, end, add_event, close)


class _Parsers(threading.local):
    """A parser a thread: each is part of a cycle (lxml 6.1), in which all its pages would wait for
    Python's collector."""

    def __init__(self) -> None:
        self._limits = (-1, -1)
        self._parser: Any = None

    def parse(self, encoded: bytes, limits: tuple[int, int]) -> MarkupEvents:
        if self._limits != limits or self._parser is None:
            self._parser = etree.HTMLParser(
                target=_target(*limits), encoding="utf-8", huge_tree=True
            )
            self._limits = limits
        parser, self._parser = self._parser, None  # one that raised is not used again
        parser.feed(encoded)
        page: MarkupEvents = parser.close()
        self._parser = parser
        return page


_PARSERS = _Parsers()


def parse(markup: str, max_nodes: int, max_depth: int) -> MarkupEvents:
    """The events of a page.

    Args:
        markup: decoded HTML or XHTML.
        max_nodes: elements it may have.
        max_depth: elements an element may be nested in, itself included.

    Raises:
        TooManyNodesError, TooDeepError: the page passes a limit.
    """
    try:
        encoded = markup.encode()
    except UnicodeEncodeError:
        encoded = _SURROGATES.sub("\ufffd", markup).encode()
    return _PARSERS.parse(encoded, (max_nodes, max_depth))
