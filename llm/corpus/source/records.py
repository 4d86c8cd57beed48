"""What a reader makes of each record of a source: a page, or a reason why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"})
# What servers say when they do not know (WHATWG MIME Sniffing, section 7, and defaults).
_UNKNOWN = frozenset(
    [
        *("application/octet-stream", "binary/octet-stream", "application/unknown"),
        *("unknown/unknown", "content/unknown", "application/x-unknown", "*/*"),
        "application/force-download",
    ]
)
_TYPE = re.compile(r"[\s\"']*([\w!#$&^.+*-]+/[\w!#$&^.+*-]+)", re.ASCII)
_MARKUP = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"',]+)", re.IGNORECASE)
_SNIFFED = 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A record that becomes a page.

    Attributes:
        url: its address, or a name made of its content where it has none.
        fetched_at: as the record says, with a time zone; `None` where it does not.
        content_type: lower case, without parameters.
        charset: as the transport said; `None` where it did not.
        payload: bytes with transfer and content encoding undone.
        offset: byte offset of the record (or number of the row) in its file.
        digest: of the payload, as the record carries it ("sha1:…").
        license: where the record knows it better than its source.
        mended: what the record had wrong and could be put right; `None` for nothing.
        robots: what the HTTP header asks of robots (`llm.corpus.source.robots.header_directives`).
    """

    url: str
    fetched_at: datetime | None
    content_type: str
    charset: str | None
    payload: bytes
    offset: int | None = None
    digest: str | None = None
    license: str | None = None
    mended: str | None = None
    robots: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """A record that is sound but no page. `key` tells it from others under the same URL."""

    reason: str
    url: str
    key: bytes
    detail: str | None = None
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be read; `detail` says where and why."""

    reason: str
    url: str
    key: bytes
    detail: str


Record = Page | Removed | Rejected
_NO_UTF8 = re.compile("[\udc80-\udcff]")


def readable(raw: bytes) -> str:
    """Text of a header: UTF-8, with bytes that are none as %XX, as a URL writes them."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
    return _NO_UTF8.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def is_html(content_type: str | None, payload: bytes) -> bool:
    """Whether a payload is to be read as HTML.

    The declared type decides; without one, the first 1,024 bytes are looked at for a doctype or
    one of the outer elements (a narrow form of the WHATWG MIME sniffing standard).

    Args:
        content_type: as `media_type` returns it.
    """
    if content_type:
        return content_type in HTML_TYPES
    return _MARKUP.search(payload, 0, _SNIFFED) is not None


def media_type(header: str | None) -> tuple[str | None, str | None]:
    """(type, charset) of a Content-Type header, both lower case, `None` where missing.

    Of several types the first counts. What is no type at all, and the types that servers name
    when they do not know, are `None`.
    """
    if not header:
        return None, None
    found = _TYPE.match(header)
    kind = found[1].lower() if found else None
    charset = _CHARSET.search(header)
    return None if kind in _UNKNOWN else kind, charset[1].lower() if charset else None
