"""Where a page leads to."""

from __future__ import annotations

import zlib

from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import ElementNode, HTMLTree

from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.site.rules import crawl_url

MARKUP = frozenset({"text/html", "application/xhtml+xml"})
_MOST_LINKS = 10_000
_LEADING = {"a": "href", "area": "href", "frame": "src", "iframe": "src"}
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
    start, found = url, []
    # A walk: a result of resiliparse's selectors finds all of its nodes anew for each one of them.
    for node in tree.document or ():
        if not isinstance(node, ElementNode):
            continue
        if node.tag == "meta" and _closes(node.getattr("name"), node.getattr("content")):
            return ()
        if node.tag == "base" and start == url:
            start = crawl_url(node.getattr("href") or "", url) or url
        elif node.tag in _LEADING and "nofollow" not in _words(node.getattr("rel")):
            found.append(node.getattr(_LEADING[node.tag]))
    links: dict[str, None] = {}
    for link in found[:_MOST_LINKS]:
        led = crawl_url(link, start) if link else None
        if led is not None and led != url:
            links[led] = None
    return tuple(links)


def _encoding(markup: bytes) -> str:
    return detect_encoding(markup) or "utf-8"


def _closes(name: str | None, content: str | None) -> bool:
    """Whether a `<meta>` asks robots to follow no link of its page."""
    return (name or "").strip().lower() == "robots" and not _words(content).isdisjoint(
        ("nofollow", "none")
    )


def _words(text: str | None) -> frozenset[str]:
    return frozenset((text or "").lower().replace(",", " ").split())
