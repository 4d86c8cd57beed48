"""What a page is cleaned by, and what may come of it: plain values, apart from the work on them.

The process that hands pages out and takes results in needs these alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Page:
    """A page as it came from its source.

    Attributes:
        payload: the bytes, transfer and content encoding undone.
        content_type: media type, parameters allowed; None or a generic one = look at the bytes.
        charset: from the HTTP header, if it had one.
        robots: what the HTTP header asks of robots.
        url: where it is from; tells what kind of page it is.
    """

    payload: bytes
    content_type: str | None
    charset: str | None
    robots: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Limits:
    """What a page may cost, in terms that are the same on every machine.

    Attributes:
        max_bytes: of payload.
        max_nodes: elements in the parsed page.
        max_depth: nesting of elements.
        max_replaced: share of non-ASCII characters that may be undecodable.
        max_controls: share of control characters above which a page is not text.
    """

    max_bytes: int
    max_nodes: int
    max_depth: int
    max_replaced: float
    max_controls: float


@dataclass(frozen=True)
class Extraction:
    """How to extract: the arguments of `llm.corpus.clean.main_text.extract` of the same names."""

    engine: str
    longer: float
    comments: bool
    format: str


class Signal(NamedTuple):
    """One thing said.

    Attributes:
        kind: "robots", "licence" or "tdm-policy".
        value: the directive, the licence's address or words, the policy's address.
        place: where it stands: "HTTP header", "meta robots", "JSON-LD", "a rel=license", ...
    """

    kind: str
    value: str
    place: str


@dataclass(frozen=True)
class Said:
    """What a page says of itself; null where it does not.

    Attributes:
        title: of the `<title>` element, else Open Graph's, else of the first `<h1>`.
        date: of publication, ISO 8601, to the day.
        author: names, joined by ", ".
        language: the tag the page gives (BCP 47), as a hint.
        canonical_url: where the page says it belongs.
        licence: its address or words.
        robots: what it asks of robots (`llm.corpus.source.robots`).
        signals: what it says of its use by machines, and where (`llm.corpus.clean.signals`).
    """

    title: str | None = None
    date: str | None = None
    author: str | None = None
    language: str | None = None
    canonical_url: str | None = None
    licence: str | None = None
    robots: str | None = None
    signals: tuple[Signal, ...] = ()


@dataclass(frozen=True)
class Found(Said):
    """What a page says of itself, and how its text was found.

    Attributes:
        robots: what the page or its HTTP header asks of robots.
        signals: those of the HTTP header too.
        licence_id: of the first licence that SPDX has a name for, that name.
        page_type, page_type_sign: `llm.corpus.clean.page_type.PageType`.
        rule: of the scorer (`llm.corpus.clean.content`), or "json-ld" where the page has its text
            there alone; null with another engine.
        place: the element the text is in, as a CSS selector; of several the first.
        kept_share: characters kept, of all that the page shows.
    """

    licence_id: str | None = None
    page_type: str | None = None
    page_type_sign: str | None = None
    rule: str | None = None
    place: str | None = None
    kept_share: float | None = None


@dataclass(frozen=True)
class Document:
    """Normalised text of a page.

    Attributes:
        extractor: "blocks", "resiliparse", "trafilatura" or "plain".
    """

    text: str
    extractor: str
    found: Found


@dataclass(frozen=True)
class Removed:
    """Nothing wrong with the page, but it is no document: "empty" or "not_text"."""

    reason: str
    value: float | None
    threshold: float | None
    detail: str | None


@dataclass(frozen=True)
class Rejected:
    """The page could not be processed: "too_large", "undecodable", "too_many_nodes", "too_deep",
    "extractor_error"; from the sandbox also "timeout" and "crashed"."""

    reason: str
    detail: str


Outcome = Document | Removed | Rejected
