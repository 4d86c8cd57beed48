"""The CDX index of Common Crawl: a line of JSON a capture, asked for by URL patterns.

https://index.commoncrawl.org, pywb's CDX server
(https://github.com/webrecorder/pywb/wiki/CDX-Server-API).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

from llm.corpus.fetch.commoncrawl.captures import Capture, CommonCrawlError, Wanted, holds
from llm.corpus.fetch.web.client import Web
from llm.corpus.fetch.web.download import read_whole

_MOST_BYTES = 1 << 30  # of a page of the index


def find_captures(web: Web, index_url: str, wanted: Wanted) -> Iterator[Capture]:
    """Every capture that is wanted, a pattern after the other, in the order of the index.

    Args:
        index_url: of the server.

    Raises:
        CommonCrawlError: what the server says is no index.
        NotFetchedError: the server does not answer.
    """
    base = f"{index_url.rstrip('/')}/{wanted.snapshot}-index"
    for pattern in wanted.urls:
        asked = [("url", pattern), ("output", "json"), ("filter", "=status:200")]
        if len(wanted.media_types) == 1:
            asked.append(("filter", f"=mime-detected:{wanted.media_types[0]}"))
        for page in range(_pages(web, base, asked)):
            found = read_whole(web, f"{base}?{urlencode([*asked, ('page', page)])}", _MOST_BYTES)
            for line in (found or b"").splitlines():
                capture = _capture(line, base, wanted)
                if capture is not None:
                    yield capture


def _pages(web: Web, base: str, asked: list[tuple[str, str]]) -> int:
    url = f"{base}?{urlencode([*asked, ('showNumPages', 'true')])}"
    said = read_whole(web, url, _MOST_BYTES)
    if said is None:  # what it answers where there is no capture, and where there is no index
        return 0
    try:
        found = json.loads(said)
        return int(found["pages"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError) as error:
        raise CommonCrawlError(
            f"{base} does not answer as a CDX server does: {said[:80]!r}; correct index_url"
        ) from error


def _capture(line: bytes, base: str, wanted: Wanted) -> Capture | None:
    """The capture of a line, if it is wanted."""
    try:
        row = json.loads(line)
        media = row.get("mime-detected") or row.get("mime", "")
        if not holds(wanted, row["status"], media, row.get("languages", "")):
            return None
        return Capture(
            row["urlkey"], row["timestamp"], row["url"], row["digest"], row["filename"],
            int(row["offset"]), int(row["length"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommonCrawlError(f"{base}: a line is no capture: {line[:120]!r} ({error})") from error
