"""What is looked for in a crawl of Common Crawl, and which captures of it are chosen."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from llm.corpus.fetch.entries import Entry
from llm.errors import ExpectedError

RECORDS_PER_FILE = 2_000


class CommonCrawlError(ExpectedError):
    """Common Crawl's index says nothing usable; says of what, and what to change."""


class UrlPatternError(ExpectedError, ValueError):
    """What captures are asked for by is no pattern of URLs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which captures of a crawl.

    Attributes:
        snapshot: such as "CC-MAIN-2026-40".
        urls: "example.org/docs/*" (what begins so), "*.example.org" (a domain with all below it),
            or a single page; with a scheme or without.
        languages: ISO 639-3; the first that was found in a page counts. Empty = any.
        media_types: as detected; empty = any.
        max_records: chosen by `seed` where there are more.
    """

    snapshot: str
    urls: tuple[str, ...]
    languages: tuple[str, ...]
    media_types: tuple[str, ...]
    max_records: int
    seed: int


@dataclass(frozen=True, slots=True)
class Capture:
    """A record of an archive, as an index knows it.

    Attributes:
        key: of its URL, sortable (SURT); with the time, the order of the index.
        time: 14 digits.
        digest: SHA-1 of the payload, in base 32.
        file: relative to the server of the data.
    """

    key: str
    time: str
    url: str
    digest: str
    file: str
    offset: int
    length: int


def holds(wanted: Wanted, status: str, media: str, languages: str) -> bool:
    """Whether a capture is one of those that are wanted, its URL aside."""
    first = languages.split(",")[0]
    return (
        status == "200"
        and (not wanted.media_types or media in wanted.media_types)
        and (not wanted.languages or first in wanted.languages)
    )


def surt_range(pattern: str) -> tuple[str, tuple[str, ...]]:
    """What the keys of a pattern's URLs begin with, and which characters may come next; of a
    single page none may.

    SURT: the host backwards, "org,example)/docs/a" for https://example.org/docs/a.

    Raises:
        UrlPatternError
    """
    text = pattern.strip()
    below = text.startswith("*.")
    parts = urlsplit(text if "//" in text else f"//{text.removeprefix('*.')}")
    host = (parts.hostname or "").removeprefix("www.")
    rest = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if not host or "*" in host or "*" in rest.rstrip("*") or (below and rest.strip("/*")):
        raise UrlPatternError(
            f"{pattern!r} is none of: example.org/docs/* (what begins so), *.example.org (a domain "
            "and all below it), example.org/page.html"
        )
    key = ",".join(reversed(host.split(".")))
    if below:
        return key, (")", ",")
    if rest.endswith("*"):
        return f"{key}){rest[:-1].lower() or '/'}", ("",)
    return f"{key}){rest.lower() or '/'}", ()


def within(key: str, begin: str, after: tuple[str, ...]) -> bool:
    """Whether a key is one of a `surt_range`."""
    if not after:
        return key == begin
    return key.startswith(tuple(begin + character for character in after))


def rank(seed: int, *of: Any) -> bytes:
    """Where something stands in the order that a seed gives, whatever there is beside it."""
    return hashlib.sha256("\0".join([str(seed), *map(str, of)]).encode()).digest()


def choose(captures: Iterable[Capture], wanted: Wanted) -> list[Capture]:
    """Captures, in the order of the index, no more than are wanted: those whose place by the seed
    is first, so that others in the index change nothing of the choice among these."""
    chosen = heapq.nsmallest(
        wanted.max_records,
        dict.fromkeys(captures),
        key=lambda it: rank(wanted.seed, it.url, it.time, it.file, it.offset),
    )
    return sorted(chosen, key=lambda it: (it.key, it.time, it.file, it.offset))


def as_entries(snapshot: str, captures: Iterable[Capture]) -> list[Entry]:
    """An entry a capture, some thousand to a file: ranges of WARCs that make a WARC."""
    return [
        Entry(
            f"{snapshot}-{number // RECORDS_PER_FILE:05}.warc.gz",
            it.file,
            it.offset,
            it.length,
            None,
            f"sha1:{it.digest}" if it.digest else None,
        )
        for number, it in enumerate(captures)
    ]
