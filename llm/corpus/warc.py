"""WARC and WET files: every record becomes a page, or a reason why not (ISO 28500).

FastWARC parses; what is added here is what it leaves open: telling a file that
ends from one that breaks off, going on behind a broken record, and offsets one
can seek to.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Generator, Iterator
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from llm.corpus.http_body import BodyError, decoded_body
from llm.corpus.records import Page, Record, Rejected, Removed, is_html, media_type
from llm.corpus.streams import GZIP_MAGIC

_VERSION = re.compile(rb"WARC/\d\.\d\r?\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_GZIP_WINDOW = 31
_STEP = 1 << 16
_LONGEST_MEMBER = 1 << 28  # unpacked to look for what is wrong
_NAMES = {
    int(WarcRecordType.warcinfo): "warcinfo",
    int(WarcRecordType.request): "request",
    int(WarcRecordType.metadata): "metadata",
    int(WarcRecordType.revisit): "revisit",
    int(WarcRecordType.continuation): "continuation",
}
_PAGES = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion


class _Fault(Enum):
    """Of a gzip member: its record has another length than it declares, or it is no record."""

    LENGTH = auto()
    OTHER = auto()


def read_warc(path: Path, name: str, limit: int) -> Iterator[Record]:
    """Every record of a WARC or WET file, plain or compressed, in order.

    `response` and `resource` records with HTML become pages, and `conversion` records (the text
    of a WET file) become text/plain pages. A broken record is one `Rejected` that names its byte
    offset, and reading goes on at the next record that can be found. It neither raises on bad
    bytes nor loops: every step moves forward in the file.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a page; a larger record is rejected unread.
    """
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        start: int | None = 0
        while start is not None:
            start = yield from _run(raw, stream, start, name, limit)


def _run(
    raw: mmap.mmap, stream: BinaryIO, start: int, name: str, limit: int
) -> Generator[Record, None, int | None]:
    """Records from `start` to the next break; returns where to go on, or `None` at the end."""
    stream.seek(start)
    last, declared, seekable = start, -1, False
    held: Record | None = None  # the last one read: whether it is whole, only the end tells
    try:
        for record in ArchiveIterator(stream, parse_http=False):
            seekable = _seekable(raw, record.stream_pos)
            last = record.stream_pos if seekable else last
            declared = record.content_length
            if held is not None:
                yield held
            held = _outcome(record, record.stream_pos if seekable else None, name, limit)
    except OSError as error:
        offset, onward, last_one = _resume(raw, last, declared)
        # What was read of a record that has another length than it declares is not to be believed.
        if held is not None and not last_one:
            yield held
        archive = declared >= 0 or start > 0 or onward is not None
        reason = "bad_record" if archive else "not_an_archive"
        detail = f"{name}, byte {offset}: {error}"
        yield Rejected(reason, name, f"{reason}@{offset}".encode(), detail)
        return onward
    onward = _behind_nothing(raw, last) if seekable else None
    if onward is not None:
        if held is not None:
            yield held
        return onward
    end = _cut_at(raw, last, declared)
    # A record has one fate. What the file ends in is no record of some other kind or status, for
    # its headers may be cut; but a page of full length is one, and an error already told stands.
    cut = seekable and end == last
    if held is not None and not (cut and isinstance(held, Removed)):
        yield held
    told = isinstance(held, Rejected) and end == last
    if end is not None and not told and not (cut and isinstance(held, Page)):
        detail = f"{name}, byte {end}: the file ends within a record"
        yield Rejected("truncated_file", name, f"truncated_file@{end}".encode(), detail)
    return None


def _outcome(record: WarcRecord, offset: int | None, name: str, limit: int) -> Record:
    kind = record.record_type
    headers = record.headers
    url = (headers.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    key = (record.record_id or headers.get("WARC-Date") or "").encode("utf-8", "surrogatepass")
    where = f"{name}, byte {offset}" if offset is not None else name
    if not kind & _PAGES:
        return Removed(_NAMES.get(int(kind), "unknown_record_type"), url, key, where)
    if record.content_length > limit:
        # HTTP headers are part of the block, so the limit is lenient by their length.
        size = record.content_length
        detail = f"{where}: the record has {size} bytes, the limit is {limit}"
        return Rejected("too_large", url, key, detail)
    if kind == WarcRecordType.response and not record.is_http:
        return Removed("not_http", url, key, f"{where}: {url.split(':', 1)[0]}")
    status, length = 200, record.content_length
    transfer = content = None
    if record.is_http and kind != WarcRecordType.conversion:
        try:
            record.parse_http(auto_decode="none", quirks_mode=True)
        except OSError as error:
            return Rejected("bad_http", url, key, f"{where}: {error}")
        length = record.content_length
        http = record.http_headers
        if http is None or http.status_code is None:
            return Rejected("bad_http", url, key, f"{where}: no HTTP status line")
        status = http.status_code
        transfer, content = http.get("Transfer-Encoding"), http.get("Content-Encoding")
        media, charset = media_type(http.get("Content-Type"))
    else:
        media, charset = media_type(headers.get("Content-Type"))
    if status != 200:
        return Removed("http_status", url, key, where, float(status), 200.0)
    if kind != WarcRecordType.conversion and media and not is_html(media, b""):
        return Removed("content_type", url, key, f"{where}: {media}")
    try:
        body = record.reader.read() if record.reader is not None else b""
        if len(body) < length:
            detail = f"{where}: {len(body)} bytes of {length}, the file ends within the record"
            return Rejected("truncated_record", url, key, detail)
        payload = decoded_body(body, transfer, content, limit)
    except BodyError as error:
        return Rejected(error.reason, url, key, f"{where}: {error}")
    if not payload.strip():
        return Removed("empty_body", url, key, where)
    if kind == WarcRecordType.conversion:
        media, charset = "text/plain", charset or "utf-8"
    elif not is_html(media, payload):
        return Removed("content_type", url, key, f"{where}: no content type, and not HTML")
    digest = headers.get("WARC-Payload-Digest") or headers.get("WARC-Block-Digest")
    fetched: datetime | None = record.record_date
    return Page(url, fetched, media or "text/html", charset, payload, offset, digest)


def _seekable(raw: mmap.mmap, position: int) -> bool:
    """Whether a record can be read from here: not so inside a file gzipped as one piece."""
    return raw[position : position + 5] == b"WARC/" or raw[position : position + 3] == GZIP_MAGIC


def _resume(raw: mmap.mmap, last: int, declared: int) -> tuple[int, int | None, bool]:
    """Offset of the broken record, that of the next one that looks sound or `None`, and whether
    the broken one is the last that was read.

    Args:
        last: offset of the last record that was read.
        declared: its length; -1 when none was.
    """
    if raw[last : last + 3] == GZIP_MAGIC:
        end, fault = _member(raw, last, declared)
        if fault is None:
            return end, _next_packed(raw, end + 1), False
        return last, _next_packed(raw, end), fault is _Fault.LENGTH
    if raw[last : last + 5] == b"WARC/":
        broken = last if declared < 0 else _block_end(raw, last)
        return broken, _next_plain(raw, max(broken, last + 1)), False
    # The very start is damaged, so it cannot say what the file is.
    found = (_next_packed(raw, last + 1), _next_plain(raw, last + 1))
    return last, min((offset for offset in found if offset is not None), default=None), False


def _next_packed(raw: mmap.mmap, start: int) -> int | None:
    while (start := raw.find(GZIP_MAGIC, start)) >= 0:
        if _starts_record(raw, start):
            return start
        start += 1
    return None


def _next_plain(raw: mmap.mmap, start: int) -> int | None:
    found = _VERSION.search(raw, start)
    return found.start() if found else None


def _block_end(raw: mmap.mmap, position: int) -> int:
    """Where the record behind the one at `position` ought to start, in an uncompressed file."""
    header = _HEADER_END.search(raw, position)
    if header is None:
        return position
    end = header.end() + _length(raw[position : header.start()])
    while raw[end : end + 1] in (b"\r", b"\n"):
        end += 1
    return end


def _behind_nothing(raw: mmap.mmap, last: int) -> int | None:
    """Offset of the record behind an empty gzip member, which readers take for the end."""
    if raw[last : last + 3] != GZIP_MAGIC:
        return None
    end, _ = _member(raw, last, -1)
    return _next_packed(raw, end) if end > last + 1 else None


def _cut_at(raw: mmap.mmap, last: int, declared: int) -> int | None:
    """Offset of a record the end of the file cuts off, looking from the last one read."""
    if raw[last : last + 3] == GZIP_MAGIC:
        position, cut = _walk(raw, last)
        return position if cut else None
    if raw[last : last + 5] != b"WARC/":
        return None
    if declared < 0:
        return last
    end = _block_end(raw, last)
    if end > len(raw):
        return last
    return end if end < len(raw) else None


def _walk(raw: mmap.mmap, position: int) -> tuple[int, bool]:
    """Go through gzip members; (offset of the first that cannot be finished, whether cut off).

    The offset is the end of the file when all are sound.
    """
    while position < len(raw):
        if raw[position : position + 1] == b"\0":
            position += 1
            continue
        engine, read = zlib.decompressobj(_GZIP_WINDOW), position
        try:
            while not engine.eof and read < len(raw):
                engine.decompress(raw[read : read + _STEP])
                read += _STEP
        except zlib.error:
            return position, False
        if not engine.eof:
            return position, True
        position = min(read, len(raw)) - len(engine.unused_data)
    return position, False


def _member(raw: mmap.mmap, position: int, declared: int) -> tuple[int, _Fault | None]:
    """Where the gzip member at `position` ends, and why it is not one record of `declared` bytes.

    The end of a member that cannot be unpacked is its first byte: the next may start anywhere.
    """
    engine, read, data = zlib.decompressobj(_GZIP_WINDOW), position, bytearray()
    try:
        while not engine.eof and read < len(raw) and len(data) < _LONGEST_MEMBER:
            data += engine.decompress(raw[read : read + _STEP])
            read += _STEP
    except zlib.error:
        return position + 1, _Fault.OTHER
    if not engine.eof:
        return position + 1, _Fault.OTHER
    end = min(read, len(raw)) - len(engine.unused_data)
    while raw[end : end + 1] == b"\0":
        end += 1
    header = _HEADER_END.search(data)
    if header is None or _length(data[: header.start()]) != declared:
        return end, _Fault.OTHER
    behind = data[header.end() + declared :].lstrip(b"\r\n")
    if behind.startswith(b"WARC/"):
        return end, _Fault.OTHER  # the broken one shares the member of a sound one
    too_short = header.end() + declared > len(data)
    return end, _Fault.LENGTH if behind or too_short else None


def _length(header: bytes | bytearray) -> int:
    """The Content-Length in a record's header, 0 without one."""
    found = _CONTENT_LENGTH.search(header)
    return int(found.group(1)) if found else 0


def _starts_record(raw: mmap.mmap, position: int) -> bool:
    try:
        head = zlib.decompressobj(_GZIP_WINDOW).decompress(raw[position : position + 512], 64)
    except zlib.error:
        return False
    return head.startswith(b"WARC/")
