"""What a page says of its use by machines, each with the place where it says so.

Directives for robots and the reservation of text and data mining (`llm.corpus.source.robots`; in
the W3C's TDM Reservation Protocol `tdm-policy` is the address of terms), and licences: rel=license
(HTML), JSON-LD of schema.org, properties of RDFa (of a, link and meta), Dublin Core in `<meta>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llm.corpus.clean.outcome import Signal
from llm.corpus.source.licences import spdx

ROBOTS, LICENCE, TDM_POLICY = "robots", "licence", "tdm-policy"
_MOST = 16  # of a page; a list of hundreds of photographs says no more of its text
_LONGEST = 300
_TARGETS = ("resource", "href", "content")
_PROPERTIES = frozenset(
    (
        *("license", "dct:license", "dcterms:license", "dc:license", "cc:license"),
        *("schema:license", "xhv:license", "http://schema.org/license"),
        *("http://purl.org/dc/terms/license", "http://creativecommons.org/ns#license"),
    )
)


def signals(found: Iterable[Signal]) -> list[Signal]:
    """Each once, in order, as many as are kept."""
    short = (Signal(kind, value.strip()[:_LONGEST], place) for kind, value, place in found)
    return list(dict.fromkeys(each for each in short if each.value))[:_MOST]


def of_robots(listed: str | None, place: str) -> list[Signal]:
    """Directives that stand at one place, joined by ", "."""
    return [Signal(ROBOTS, each, place) for each in (listed or "").split(", ") if each]


def of_rdfa(attributes: Mapping[str, str | None], tag: str) -> Signal | None:
    """The licence in an element's RDFa properties, if it has one there."""
    named = (attributes.get("property") or "").lower().split()
    if _PROPERTIES.isdisjoint(named):
        return None
    value = next((found for name in _TARGETS if (found := attributes.get(name))), None)
    return Signal(LICENCE, value, f"RDFa, {tag} property") if value else None


def licence_id(found: Iterable[Signal]) -> str | None:
    """The SPDX identifier of the first licence that has one."""
    named = (spdx(each.value) for each in found if each.kind == LICENCE)
    return next((name for name in named if name), None)
