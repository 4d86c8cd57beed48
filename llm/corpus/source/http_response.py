"""The HTTP response in a record of a web archive, as a page or the reason why it is none."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from llm.corpus.source.http_body import BodyError, decoded_body
from llm.corpus.source.records import Page, Record, Rejected, Removed, is_html, media_type, readable
from llm.corpus.source.robots import header_directives

_STATUS = re.compile(rb"\s*HTTP/\d[\d.]*[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Capture:
    """What a record of an archive says of the page in it.

    Attributes:
        url: its address.
        key: tells the record from others of that URL.
        where: its place, for messages.
        fetched_at, offset, digest, mended, robots: as in `Page`.
    """

    url: str
    key: bytes
    where: str
    fetched_at: datetime | None
    offset: int | None
    digest: str | None
    mended: str | None
    robots: str | None = None

    def page(self, payload: bytes, media: str, charset: str | None) -> Page:
        """The page this is a capture of."""
        return Page(
            self.url,
            self.fetched_at,
            media,
            charset,
            payload,
            self.offset,
            self.digest,
            mended=self.mended,
            robots=self.robots,
        )


def is_http(block: bytes) -> bool:
    """Whether a block begins as an HTTP response does."""
    return _STATUS.match(block) is not None


def response_page(capture: Capture, block: bytes, media: str | None, limit: int) -> Record:
    """The page in an HTTP response, the last where others are before it: "100 Continue" and its
    like, or those of a proxy, which have no content type, and another response for a body.

    Args:
        block: status line, header and body.
        media: type to assume where the header has none.
        limit: most bytes of the body, decoded.
    """
    status = _STATUS.match(block)
    if status is None:
        detail = f"{capture.where}: no HTTP status line"
        return Rejected("bad_http", capture.url, capture.key, detail)
    while True:
        end = _END.search(block, status.end())
        fields = _fields(block[status.start(1) : end.start() if end else len(block)])
        behind = _STATUS.match(block, end.end()) if end else None
        if behind is None or not (status[1][:1] == b"1" or "content-type" not in fields):
            break
        status = behind
    if int(status[1]) != 200:
        code = float(status[1])
        return Removed("http_status", capture.url, capture.key, capture.where, code, 200.0)
    body = block[end.end() :] if end else b""
    declared, charset = media_type(_first(fields, "content-type"))
    encodings = _first(fields, "transfer-encoding"), _first(fields, "content-encoding")
    reserved = _first(fields, "tdm-reservation")
    capture = replace(capture, robots=header_directives(fields.get("x-robots-tag", ()), reserved))
    return body_page(capture, body, declared or media, charset, encodings, limit)


def body_page(
    capture: Capture,
    body: bytes,
    media: str | None,
    charset: str | None,
    encodings: tuple[str | None, str | None],
    limit: int,
) -> Record:
    """The page in a body with the transfer and content encodings given."""
    if media and not is_html(media, b""):
        return Removed("content_type", capture.url, capture.key, f"{capture.where}: {media}")
    try:
        payload = decoded_body(body, *encodings, limit)
    except BodyError as error:
        detail = f"{capture.where}: {error}"
        return Rejected(error.reason, capture.url, capture.key, detail)
    if not payload.strip():
        return Removed("empty_body", capture.url, capture.key, capture.where)
    if not is_html(media, payload):
        detail = f"{capture.where}: no content type, and not HTML"
        return Removed("content_type", capture.url, capture.key, detail)
    return capture.page(payload, media or "text/html", charset)


def _fields(head: bytes) -> dict[str, list[str]]:
    """Header fields by name in lower case, each with all its values; the first line is none."""
    fields: dict[str, list[str]] = {}
    last: list[str] | None = None
    for line in head.splitlines()[1:]:
        if line[:1] in (b" ", b"\t") and last is not None:
            last[-1] += " " + readable(line.strip())
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            last = None
            continue
        last = fields.setdefault(readable(name.strip()).lower(), [])
        last.append(readable(value.strip()))
    return fields


def _first(fields: dict[str, list[str]], name: str) -> str | None:
    return fields[name][0] if name in fields else None
