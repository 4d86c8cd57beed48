"""What a page is cleaned by, and what may come of it: plain values, apart from the work on them.

The process that hands pages out and takes results in needs these alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page as it came from its source.

    Attributes:
        payload: the bytes, transfer and content encoding undone.
        content_type: media type, parameters allowed; None or a generic one = look at the bytes.
        charset: from the HTTP header, if it had one.
        robots: what the HTTP header asks of robots.
    """

    payload: bytes
    content_type: str | None
    charset: str | None
    robots: str | None = None


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


@dataclass(frozen=True)
class Document:
    """Normalised text of a page.

    Attributes:
        extractor: "resiliparse", "trafilatura" or "plain".
        robots: what the page or its HTTP header asks of robots (`llm.corpus.source.robots`).
    """

    title: str | None
    text: str
    extractor: str
    robots: str | None


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
