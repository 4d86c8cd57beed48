"""What a page's own markup asks of robots.

`<meta name="robots" content="noindex, nofollow">` (HTML robots meta tag, RFC 9309 speaks of files
only); `noai` and `noimageai` (DeviantArt, since 2022) ask not to train on it, and so does
`<meta name="tdm-reservation" content="1">` (W3C TDM Reservation Protocol). They are recorded;
whether they are obeyed is a matter of the filter's rules. Names of single robots ("googlebot")
ask nothing of others.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_ASKS = re.compile(r"<meta\b[^<>]*(?:robots|tdm-reservation)", re.IGNORECASE)
_RESERVED = "tdm-reservation"
_NO_AI = frozenset(("noai", "noimageai", _RESERVED))
_NO_INDEX = frozenset(("noindex", "none"))


class Robots(NamedTuple):
    """Whether a page asks not to be indexed, and not to be trained on."""

    robots_noindex: bool
    robots_noai: bool


def directives(markup: str, tree: Any) -> str | None:
    """Distinct directives of a page, lower case, in alphabetical order, joined by ", ".

    Args:
        tree: the markup parsed (`resiliparse.parse.html.HTMLTree`).

    Returns:
        None where there are none.
    """
    if not _ASKS.search(markup):
        return None
    found: set[str] = set()
    for element in tree.document.query_selector_all("meta[name]"):
        name = (element.getattr("name") or "").strip().lower()
        content = (element.getattr("content") or "").lower()
        if name == "robots":
            found.update(piece for item in content.split(",") if (piece := item.strip()))
        elif name == _RESERVED and content.strip() == "1":
            found.add(_RESERVED)
    return ", ".join(sorted(found)) or None


def robots(listed: str | None) -> Robots:
    """What `directives` mean."""
    found = frozenset((listed or "").split(", "))
    return Robots(not _NO_INDEX.isdisjoint(found), not _NO_AI.isdisjoint(found))
