"""ARC files, the format before WARC (Internet Archive, version 1 and 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from llm.corpus.source.framing import Frame
from llm.corpus.source.http_response import Capture, response_page
from llm.corpus.source.records import Record, Rejected, Removed, media_type, readable
from llm.corpus.source.window import Window

# URL, address, date, ..., length: with the date, for a page may hold lines that are like it.
# Schemes by name, for what is left of a damaged line has one too.
_SCHEME = rb"(?:https?|ftp|dns|filedesc|whois|gopher|nntp|news|mailto|mms|rtsp|urn|data):"
_REST = rb" \d{14}\d{0,4} \S[^\r\n]{0,1100}\r?\n"
_LINE = _SCHEME + rb"[^\r\n]{0,4096}" + _REST
# The line end before it may be what is damaged.
_STRICT_LINE = _SCHEME + rb"[^\s<>\"']{1,4096}+ \S{1,64}" + _REST
_INNER = re.compile(_STRICT_LINE, re.IGNORECASE)
_PART_OF_LINE = re.compile(_SCHEME + rb"[^\n]*", re.IGNORECASE)
# What is left of a line that was cut behind its URL, before the next begins in it.
_CUT_LINE = re.compile(_SCHEME + rb"\S+ [\da-f.:]*(?: \d*(?: \S*)*)?", re.IGNORECASE)
_LONGEST_LINE = 1 << 16
_URL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_STAMP = re.compile(r"\d{14}", re.ASCII)
_LATEST = "%Y%m%d%H%M%S"
_HTTP = ("http:", "https:")


@dataclass(frozen=True, slots=True)
class ArcHead:
    """The header line of an ARC record."""

    size: int
    length: int | None
    url: str
    date: str
    media: str


class Arc:
    """What ARC records look like, for `Frames`."""

    begins = re.compile(_LINE, re.IGNORECASE)
    start = re.compile(rb"(?:(?<=\n)|(?<![\s\S]))" + _LINE + b"|" + _STRICT_LINE, re.IGNORECASE)
    separator = re.compile(rb"\r?\n")
    ending = re.compile(rb"\r?\n\0*\Z")

    def head(self, window: Window) -> ArcHead | None:
        looked = 0
        while (end := window.data.find(b"\n", looked)) < 0:
            looked = len(window.data)
            if looked >= _LONGEST_LINE or not window.more():
                return None
        if _cut_at(window, end) is not None:
            return None
        return _head(readable(bytes(window.data[: end + 1]).strip()), end + 1)

    def is_cut(self, window: Window) -> bool:
        end = window.data.find(b"\n")
        if end >= 0:
            return _cut_at(window, end) is not None
        return len(window.data) < _LONGEST_LINE and bool(_PART_OF_LINE.fullmatch(window.data))


def _cut_at(window: Window, end: int) -> int | None:
    """Where in a line the next one begins, if it was cut. A URL may have another in it: what is
    before the other must be more than a URL."""
    inner = _INNER.search(window.data, 1, end + 1)
    if inner is None or not _CUT_LINE.fullmatch(window.data, 0, inner.start()):
        return None
    return inner.start()


def _head(line: str, size: int) -> ArcHead | None:
    """Version 1 has five fields, version 2 ten; a URL may hold spaces, so fields count from the
    end."""
    fields = line.split(" ")
    if len(fields) < 5 or not _URL.match(fields[0]):
        return None
    # Version 2: url ip date type status checksum location offset filename length.
    second = len(fields) >= 10 and bool(_STAMP.match(fields[-8])) and fields[-3].isdecimal()
    date, media = (fields[-8], fields[-7]) if second else (fields[-3], fields[-2])
    length = int(fields[-1]) if _NUMBER.fullmatch(fields[-1]) else None
    if length is None and not _STAMP.match(date):
        return None
    return ArcHead(size, length, " ".join(fields[: -9 if second else -4]), date, media)


def arc_record(frame: Frame[ArcHead], limit: int) -> Record:
    """What a record becomes: a page, if it is a response with HTML.

    Args:
        limit: most bytes of a page.
    """
    head, where = frame.head, frame.where
    fetched = _date(head.date)
    stamp = fetched.isoformat() if fetched else ""
    key = f"{stamp} {head.media.lower()} {head.length}".encode()
    if frame.fault:
        return Rejected(frame.reason, head.url, key, f"{where}: {frame.fault}")
    scheme = head.url.lower()
    if scheme.startswith("filedesc:"):
        return Removed("warcinfo", head.url, key, where)
    if frame.block is None:
        detail = f"{where}: the record has {frame.size} bytes, the limit is {limit}"
        return Rejected("too_large", head.url, key, detail)
    if not scheme.startswith(_HTTP):
        return Removed("not_http", head.url, key, f"{where}: {head.url.split(':', 1)[0]}")
    capture = Capture(head.url, key, where, fetched, frame.offset, None, frame.mended)
    return response_page(capture, frame.block, media_type(head.media)[0], limit)


def _date(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp[:14], _LATEST).replace(tzinfo=UTC)
    except ValueError:
        return None
