"""The text blocks of a page: what a reader sees as a paragraph, heading, item or cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm.corpus.clean.markup_events import MarkupEvents
from llm.corpus.clean.roles import Role, role

INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark math nobr q "
    "rb rp rt rtc ruby s samp small span strike strong sub sup time tt u var wbr".split()
)
_HEADLESS = frozenset(("head", "title", "script"))


@dataclass(slots=True)
class Block:
    """Text between two starts or ends of elements that are no part of a line.

    Attributes:
        element: the element it is directly in.
        first, last: the slice of the page's events it is from.
        text: white space collapsed.
        linked: characters of it that are links.
        opens_linked: it begins with one.
    """

    element: int
    first: int
    last: int
    text: str
    linked: int
    opens_linked: bool


@dataclass
class Blocks:
    """Blocks of a page and what its elements say they are.

    Attributes:
        blocks: in order.
        first: for each element the number of the first block in it or behind its start.
        last: the number behind the last one in it.
        roles: of each element alone.
    """

    blocks: list[Block] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)


def find_blocks(page: MarkupEvents) -> Blocks:
    """All blocks of a page; elements that show nothing have none."""
    events, tags, attributes = page.events, page.tags, page.attributes
    found = Blocks(first=[0] * len(tags), last=[0] * len(tags), roles=[0] * len(tags))
    blocks, firsts, lasts, roles = found.blocks, found.first, found.last, found.roles
    pieces: list[str] = []
    inline = INLINE
    opened: list[int] = []  # elements that are no part of a line
    linked = links = start = 0
    opens = False
    index, count = 0, len(events)
    while index < count:
        event = events[index]
        if event.__class__ is str:
            if pieces or not event.isspace():  # type: ignore[union-attr]
                if not pieces:
                    opens = links > 0
                pieces.append(event)  # type: ignore[arg-type]
                if links:
                    linked += len(event.strip())  # type: ignore[union-attr]
            index += 1
            continue
        number = event if event >= 0 else ~event  # type: ignore[operator]
        tag = tags[number]
        if tag not in inline:
            if pieces:
                text = " ".join("".join(pieces).split())
                if text:
                    blocks.append(Block(opened[-1], start, index, text, linked, opens))
                pieces, linked = [], 0
            start = index + 1
            if event >= 0:  # type: ignore[operator]
                if tag in _HEADLESS:
                    firsts[number] = lasts[number] = len(blocks)
                    index = page.finish[number] + 1
                    continue
                opened.append(number)
            else:
                opened.pop()
        elif tag == "a":
            links += 1 if event >= 0 else -1  # type: ignore[operator]
        if event >= 0:  # type: ignore[operator]
            roles[number] = role(tag, attributes[number])
            # An element within a line has no blocks of its own, unless one breaks the line.
            firsts[number] = len(blocks)
        else:
            lasts[number] = len(blocks)
        index += 1
    return found
