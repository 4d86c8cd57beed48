"""What a page asks of robots, in its own markup or in the HTTP header it came with.

`<meta name="robots" content="noindex, nofollow">` (HTML robots meta tag, RFC 9309 speaks of files
only) and the header `X-Robots-Tag` say the same; `noai` and `noimageai` (DeviantArt, since 2022)
ask not to train on a page, and so does `<meta name="tdm-reservation" content="1">` or the header
of that name (W3C TDM Reservation Protocol). They are recorded; whether they are obeyed is a matter
of the filter's rules. What is asked of single robots ("googlebot") is nothing to others.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

_RESERVED = "tdm-reservation"
_NO_AI = frozenset(("noai", "noimageai", _RESERVED))
_NO_INDEX = frozenset(("noindex", "none"))
# A name and a colon say which robot is meant, but for directives with a value. The last word of a
# name has a letter, the hour of a date has none.
_NAME = re.compile(r"[\w.*/+ -]+", re.ASCII)
_LETTER = re.compile("[a-z*]")
# A date has blanks, commas and colons, in whichever form: RFC 822, 850, ISO 8601.
_OF_A_DATE = (
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*+\.?"
    r"|[+-]?\d[\w:.+/-]*+|gmt|utc|[ap]m|z|[a-z]{2,3}t)(?![\w*/-]|\s*+:)"
)
_VALUED = re.compile(
    rf"(?<![\w-])(?:unavailable_after\s*+:(?:[\s,]*+{_OF_A_DATE})*+"
    r"|max-(?:snippet|image-preview|video-preview)\s*+:\s*+[^\s,;]*+)",
    re.ASCII,
)
_EVERY = frozenset(("*", "robots"))


class Robots(NamedTuple):
    """Whether a page asks not to be indexed, and not to be trained on."""

    robots_noindex: bool
    robots_noai: bool


def directives(metas: Iterable[tuple[str, str]]) -> str | None:
    """Distinct directives of a page, lower case, in alphabetical order, joined by ", ".

    Args:
        metas: name and content of each of its `<meta>`.

    Returns:
        None where there are none.
    """
    found: set[str] = set()
    for name, content in metas:
        name = name.strip().lower()
        if name == "robots":
            found.update(_parse_directives(content))
        elif name == _RESERVED and content.strip() == "1":
            found.add(_RESERVED)
    return _join(found)


def header_directives(tags: Iterable[str], reserved: str | None) -> str | None:
    """The same of an HTTP header.

    Args:
        tags: every value of `X-Robots-Tag`; what follows the name of a robot is asked of it.
        reserved: the value of `tdm-reservation`.
    """
    found: set[str] = set()
    for tag in tags:
        found.update(_parse_directives(tag))
    if (reserved or "").strip() == "1":
        found.add(_RESERVED)
    return _join(found)


def _parse_directives(listed: str) -> Iterator[str]:
    """What one value asks of every robot: its directives, whether commas, semicolons or blanks
    are between them; those with a value as `name: value`, a date without its commas."""
    meant, at = True, 0
    listed = listed.lower()
    for valued in _VALUED.finditer(listed):
        meant = yield from _parse_plain(listed[at : valued.start()], meant)
        if meant:
            name, _, value = valued[0].partition(":")
            yield f"{name.strip()}: {' '.join(value.replace(',', ' ').split())}".strip()
        at = valued.end()
    yield from _parse_plain(listed[at:], meant)


def _parse_plain(listed: str, meant: bool) -> Generator[str, None, bool]:
    """Directives without a value; returns whether what follows them is asked of every robot."""
    for item in re.split("[,;]", listed):
        name, colon, rest = item.partition(":")
        name = name.strip()
        if colon and _NAME.fullmatch(name) and _LETTER.search(name.split()[-1]):
            meant, item = name in _EVERY, rest
        if meant:
            yield from item.split()
    return meant


def join_directives(*listed: str | None) -> str | None:
    """Directives from several places, as one list."""
    return _join({item for items in listed if items for item in items.split(", ")})


def _join(found: set[str]) -> str | None:
    return ", ".join(sorted(found)) or None


def robots(listed: str | None) -> Robots:
    """What `directives` mean."""
    found = frozenset((listed or "").split(", "))
    return Robots(not _NO_INDEX.isdisjoint(found), not _NO_AI.isdisjoint(found))
