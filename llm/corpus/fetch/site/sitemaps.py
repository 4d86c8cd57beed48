"""Sitemaps: XML, their indices, plain lists, gzipped too.

https://www.sitemaps.org/protocol.html
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import NamedTuple

from lxml import etree

MOST_BYTES = 50 * 1024 * 1024  # of one, decompressed: the protocol's own limit
_MOST_URLS = 50_000  # likewise


class Sitemap(NamedTuple):
    """What a sitemap lists: pages, or further sitemaps."""

    pages: list[str]
    sitemaps: list[str]


def read_sitemap(data: bytes) -> Sitemap:
    """The URLs of a sitemap, in order; what is broken off or malformed counts up to there.

    Args:
        data: its bytes as they came.
    """
    data = _plain(data)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode("utf-8", "replace").lstrip("\ufeff").split("\n")
        return Sitemap([line.strip() for line in lines if line.strip()][:_MOST_URLS], [])
    found = Sitemap([], [])
    # No entity is resolved, and nothing is loaded: the file comes from anyone.
    events = etree.iterparse(
        BytesIO(data), events=("end",), recover=True, resolve_entities=False, no_network=True,
        load_dtd=False, huge_tree=False,
    )  # fmt: skip
    try:
        for _, element in events:
            name = etree.QName(element).localname if isinstance(element.tag, str) else ""
            if name in ("url", "sitemap"):
                where = next((c for c in element if _is_location(c)), None)
                if where is not None and where.text:
                    (found.pages if name == "url" else found.sitemaps).append(where.text.strip())
                element.clear()
            if len(found.pages) + len(found.sitemaps) >= _MOST_URLS:
                break
    except etree.XMLSyntaxError:
        pass  # nothing of XML in it, or not to its end
    return found


def _is_location(element: etree._Element) -> bool:
    return isinstance(element.tag, str) and etree.QName(element).localname == "loc"


def _plain(data: bytes) -> bytes:
    """The first bytes of a sitemap, decompressed if it is gzipped."""
    if not data.startswith(b"\x1f\x8b"):
        return data[:MOST_BYTES]
    try:
        return zlib.decompressobj(31).decompress(data, MOST_BYTES)
    except zlib.error:
        return b""
