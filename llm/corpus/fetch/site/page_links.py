"""Where a page leads to."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.site.rules import crawl_url

MARKUP = frozenset({"text/html", "application/xhtml+xml"})
_MOST_LINKS = 10_000
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decoded(body: bytes, encoding: str | None, most_bytes: int) -> bytes:
    """A body, decompressed.

    Args:
        encoding: value of Content-Encoding.

    Raises:
        NotFetchedError: it grows beyond the limit, or is damaged, or packed in a way that was not
            asked for.
    """
    name = (encoding or "identity").strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise NotFetchedError("bad_encoding", f"Content-Encoding: {name}, which was not asked for")
    for window in (_WINDOWS[name], -15):  # some servers send "deflate" without its wrapper
        reader = zlib.decompressobj(window)
        try:
            data = reader.decompress(body, most_bytes + 1)
        except zlib.error:
            continue
        if len(data) > most_bytes:
            raise NotFetchedError("too_large", f"more than {most_bytes:,} bytes decompressed")
        if not reader.eof:
            raise NotFetchedError("bad_encoding", f"the {name} data breaks off")
        return data
    raise NotFetchedError("bad_encoding", f"no {name} data")


def page_links(markup: bytes, charset: str | None, url: str) -> tuple[str, ...]:
    """URLs that a page leads to, in the order of the page, each once.

    A page that asks robots not to follow its links (`<meta name="robots" content="nofollow">`)
    leads nowhere; nor does a link with `rel="nofollow"`.

    Args:
        charset: that its header names.
        url: of the page, for what is relative.
    """
    try:
        tree = HTMLTree.parse_from_bytes(markup, charset or _encoding(markup))
    except (ValueError, LookupError):  # a charset there is none of
        tree = HTMLTree.parse_from_bytes(markup, _encoding(markup))
    document = tree.document
    if document is None or _closed(document.query_selector_all("meta[name]")):
        return ()
    base = document.query_selector("base[href]")
    start = url if base is None else crawl_url(base.getattr("href") or "", url) or url
    links: dict[str, None] = {}
    for node in document.query_selector_all("a[href], area[href], frame[src], iframe[src]"):
        if "nofollow" in (node.getattr("rel") or "").lower().split():
            continue
        found = crawl_url(node.getattr("href") or node.getattr("src") or "", start)
        if found is not None and found != url:
            links[found] = None
        if len(links) >= _MOST_LINKS:
            break
    return tuple(links)


def _encoding(markup: bytes) -> str:
    return detect_encoding(markup) or "utf-8"


def _closed(metas: Iterable[object]) -> bool:
    for meta in metas:
        name, content = (meta.getattr(key) or "" for key in ("name", "content"))  # type: ignore[attr-defined]
        asked = {word.strip() for word in content.lower().replace(",", " ").split()}
        if name.lower() == "robots" and asked & {"nofollow", "none"}:
            return True
    return False
