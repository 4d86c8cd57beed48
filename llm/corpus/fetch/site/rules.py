"""What of a site is to be crawled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from urllib.parse import urljoin, urlsplit, urlunsplit

from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.web.urls import ascii_url

_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2_000
_MOST_ALIKE = 3  # equal parts of one path: more is a link that leads ever deeper into itself


@dataclass(frozen=True, slots=True)
class SiteRules:
    """The bounds of a crawl.

    Attributes:
        seeds: where it begins.
        hosts: names, or patterns such as "*.example.org"; empty = the seeds' own.
        include, exclude: globs for path and query ("/docs/*"); no `include` = all.
        media_types: of pages that are kept; others are not read.
        max_depth: links from a seed.
        max_pages, max_bytes, max_seconds: at which it ends, whatever is left. Bytes of bodies as
            they were sent; seconds of crawling, those of earlier processes too.
        max_page_bytes: of one body, as sent and decompressed.
        delay_seconds: at least, between two requests to a host; robots.txt may ask for more.
        sitemaps: also take URLs from those that robots.txt names, and /sitemap.xml.
    """

    seeds: tuple[str, ...]
    hosts: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    media_types: tuple[str, ...]
    max_depth: int
    max_pages: int
    max_bytes: int
    max_seconds: float
    max_page_bytes: int
    delay_seconds: float
    sitemaps: bool


class Scope:
    """Which URLs belong to a crawl."""

    def __init__(self, rules: SiteRules) -> None:
        hosts = rules.hosts or tuple(urlsplit(seed).hostname or "" for seed in rules.seeds)
        self._hosts = _any_of(host.lower() for host in hosts)
        self._include = _any_of(rules.include or ("*",))
        self._exclude = _any_of(rules.exclude)

    def holds(self, url: str) -> bool:
        """Whether a URL, as `crawl_url` returns it, may be asked for."""
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return (
            self._hosts.fullmatch(parts.hostname or "") is not None
            and self._include.fullmatch(path) is not None
            and self._exclude.fullmatch(path) is None
        )


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern for what one of some globs matches; of none, nothing does."""
    listed = [translate(glob) for glob in globs]
    return re.compile("|".join(listed) if listed else r"(?!)")


def crawl_url(link: str, base: str) -> str | None:
    """The one form of a URL that a page links to; `None` where it leads to no page.

    Without fragment, host in lower case, no default port, dots in the path resolved (RFC 3986,
    6.2); the query stays as it is.
    """
    try:
        url = ascii_url(urljoin(base, link.strip()))
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, NotFetchedError):
        return None
    if len(url) > _LONGEST_URL:
        return None
    pieces = Counter(piece for piece in parts.path.split("/") if piece)
    if pieces and max(pieces.values()) > _MOST_ALIKE:
        return None
    host = parts.netloc
    path = parts.path
    if "/." in path:  # an absolute link keeps its dots; one that starts here does not
        path = urlsplit(urljoin(f"{parts.scheme}://{host}/", f".{path}")).path
    if port == _PORTS[parts.scheme]:
        host = host.rpartition(":")[0]
    return urlunsplit((parts.scheme, host, path, parts.query, ""))


def origin(url: str) -> str:
    """Scheme, host and port: what a robots.txt is of."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
