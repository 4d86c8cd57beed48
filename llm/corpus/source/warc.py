"""WARC and WET files: every record becomes a page, or a reason why not (ISO 28500)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from llm.corpus.source.framing import Frame
from llm.corpus.source.http_response import Capture, body_page, is_http, response_page
from llm.corpus.source.records import Record, Rejected, Removed, media_type, readable
from llm.corpus.source.window import Window

_VERSION = re.compile(rb"WARC/\d{1,2}\.\d{1,2}[ \t]*\r?\n", re.IGNORECASE)
_PART_OF_VERSION = re.compile(rb"WARC(?:/[\d.]{0,5}[ \t]*\r?)?", re.IGNORECASE)
_HEADER_END = re.compile(rb"\n\r?\n")
_LONGEST_HEADER = 1 << 20
_LENGTH = re.compile(r"\+?\d{1,18}", re.ASCII)
_DATE = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(\.\d+)?)?"
    r"(?:Z|([+-]\d\d):?(\d\d))?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_PAGES = frozenset({"response", "resource", "conversion"})
_OTHERS = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})


@dataclass(frozen=True, slots=True)
class WarcHead:
    """The header of a WARC record; `fields` by name in lower case."""

    size: int
    length: int | None
    fields: dict[str, str]


class Warc:
    """What WARC records look like, for `Frames`."""

    # With the name of its first field, for a page may speak of WARC/1.0.
    start = re.compile(
        rb"WARC/\d{1,2}\.\d{1,2}[ \t]*\r?\n(?=[a-z][a-z0-9-]{0,63}[ \t]*:)", re.IGNORECASE
    )
    begins = start
    separator = re.compile(rb"\r\n\r\n|\n\n")
    ending = re.compile(rb"(?:\r?\n){1,2}\0*\Z")

    def head(self, window: Window) -> WarcHead | None:
        window.fill(64)
        version = _VERSION.match(window.data)
        if version is None:
            return None
        looked = version.end() - 1
        while (end := _HEADER_END.search(window.data, looked)) is None:
            looked = max(looked, len(window.data) - 2)
            if len(window.data) > _LONGEST_HEADER or not window.more():
                return None
        if self.start.search(window.data, 1, end.end()) is not None:
            return None  # cut off by the next
        fields = _fields(bytes(window.data[version.end() : end.start()]))
        declared = fields.get("content-length", "")
        return WarcHead(end.end(), int(declared) if _LENGTH.fullmatch(declared) else None, fields)

    def is_cut(self, window: Window) -> bool:
        if _VERSION.match(window.data) is None:
            return not window.fill(64) and _PART_OF_VERSION.fullmatch(window.data) is not None
        return len(window.data) <= _LONGEST_HEADER or self.start.search(window.data, 1) is not None


def _fields(header: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = None
    for line in header.splitlines():
        if line[:1] in (b" ", b"\t") and last is not None:
            fields[last] += " " + readable(line.strip())
            continue
        name, colon, value = line.partition(b":")
        last = readable(name.strip()).lower() if colon else None
        if last is not None and last in fields:
            last = None
        elif last is not None:
            fields[last] = readable(value.strip())
    return fields


def warc_record(frame: Frame[WarcHead], limit: int) -> Record:
    """What a record becomes.

    `response` and `resource` records with HTML become pages, and `conversion` records (the text
    of a WET file) become text/plain pages.

    Args:
        limit: most bytes of a page.
    """
    fields = frame.head.fields
    kind = fields.get("warc-type", "").lower()
    url = fields.get("warc-target-uri", "").removeprefix("<").removesuffix(">")
    key = (fields.get("warc-record-id") or fields.get("warc-date") or "").encode()
    if frame.fault:
        return Rejected(frame.reason, url, key, f"{frame.where}: {frame.fault}")
    if kind not in _PAGES:
        reason = kind if kind in _OTHERS else "unknown_record_type"
        return Removed(reason, url, key, frame.where)
    if frame.block is None:
        # HTTP headers are part of the block, so the limit is lenient by their length.
        detail = f"{frame.where}: the record has {frame.size} bytes, the limit is {limit}"
        return Rejected("too_large", url, key, detail)
    digest = fields.get("warc-payload-digest") or fields.get("warc-block-digest")
    fetched = date_of(fields.get("warc-date", ""))
    capture = Capture(url, key, frame.where, fetched, frame.offset, digest, frame.mended)
    media, charset = media_type(fields.get("content-type"))
    if kind == "conversion":
        payload = frame.block
        if not payload.strip():
            return Removed("empty_body", url, key, frame.where)
        return capture.page(payload, "text/plain", charset or "utf-8")
    http = media == "application/http" or (media is None and is_http(frame.block))
    if http:
        return response_page(capture, frame.block, None, limit)
    if kind == "response":
        return Removed("not_http", url, key, f"{frame.where}: {url.split(':', 1)[0]}")
    return body_page(capture, frame.block, media, charset, (None, None), limit)


def date_of(text: str) -> datetime | None:
    """A WARC-Date in UTC (W3C-DTF of any precision); `None` for what is none."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micro = int(float(found[7] or 0) * 1_000_000)
    hours, minutes = int(found[8] or 0), int(found[9] or 0)
    zone = timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes)
    try:
        local = datetime(
            year, month or 1, day or 1, hour, minute, second, micro, tzinfo=timezone(zone)
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
