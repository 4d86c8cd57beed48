"""ARC files, the format before WARC (Internet Archive, version 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from llm.corpus.http_body import BodyError, decoded_body
from llm.corpus.records import Page, Record, Rejected, Removed, is_html, media_type
from llm.corpus.streams import DamagedStreamError, chunks

_LONGEST_LINE = 1 << 16
_STAMP = "%Y%m%d%H%M%S"


class _Reader:
    """Lines and blocks out of a stream of chunks, with the position in the decompressed bytes."""

    def __init__(self, path: Path) -> None:
        self._chunks = chunks(path)
        self._buffer = bytearray()
        self.position = 0
        self.damage: DamagedStreamError | None = None

    def _more(self) -> bool:
        try:
            chunk = next(self._chunks, b"")
        except DamagedStreamError as error:
            self.damage = error
            return False
        self._buffer += chunk
        return bool(chunk)

    def line(self) -> bytes:
        """Up to and with the next line feed, at most 64 KiB; empty at the end."""
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) < _LONGEST_LINE:
            if not self._more():
                break
        return self.block(end + 1 if end >= 0 else min(len(self._buffer), _LONGEST_LINE))

    def block(self, size: int) -> bytes:
        """`size` bytes, fewer at the end."""
        while len(self._buffer) < size and self._more():
            pass
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.position += len(data)
        return data

    def skip(self, size: int) -> int:
        """Pass over bytes without keeping them; returns how many there were."""
        left = size
        while left and (piece := self.block(min(left, _LONGEST_LINE))):
            left -= len(piece)
        return size - left


def read_arc(path: Path, name: str, limit: int) -> Iterator[Record]:
    """Every record of an ARC file, plain or gzipped, in order; offsets are of the plain bytes.

    A header line that is none is one `Rejected`; reading goes on at the next line that is one.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a page; a larger record is rejected unread.
    """
    reader = _Reader(path)
    found, lost = False, False
    while True:
        offset = reader.position
        line = reader.line()
        if not line:
            break
        if not line.strip():
            continue
        header = _header(line)
        if header is None:
            if not lost:  # one row for a run of lines between two records
                reason = "bad_record" if found else "not_an_archive"
                shown = line[:80].decode("latin-1").strip()
                detail = f"{name}, byte {offset}: no ARC record header: {shown!r}"
                yield Rejected(reason, name, f"{reason}@{offset}".encode(), detail)
            lost = True
            continue
        found, lost = True, False
        yield _outcome(reader, header, offset, name, limit)
    if reader.damage is not None:
        where = f"{name}, byte {reader.damage.offset}"
        reason = "truncated_file" if reader.damage.cut else "bad_record"
        key = f"{reason}@{reader.damage.offset}".encode()
        yield Rejected(reason, name, key, f"{where}: {reader.damage.cause}")


def _header(line: bytes) -> tuple[str, datetime | None, str, int] | None:
    """(url, date, content type, length) of a header line, or `None`.

    Version 1 has five fields, version 2 ten; a URL may hold spaces, so fields count from the end.
    """
    fields = line.decode("utf-8", "replace").strip().split(" ")
    if len(fields) < 5 or ":" not in fields[0] or not fields[-1].isdigit():
        return None
    # Version 2: url ip date type status checksum location offset filename length.
    second = len(fields) >= 10 and fields[-3].isdigit() and fields[-8].isdigit()
    date, media = (fields[-8], fields[-7]) if second else (fields[-3], fields[-2])
    url = " ".join(fields[: -9 if second else -4])
    try:
        fetched = datetime.strptime(date[:14], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        fetched = None
    return url, fetched, media.lower(), int(fields[-1])


def _outcome(
    reader: _Reader,
    header: tuple[str, datetime | None, str, int],
    offset: int,
    name: str,
    limit: int,
) -> Record:
    url, fetched, media, length = header
    where = f"{name}, byte {offset}"
    key = f"{fetched.isoformat() if fetched else ''} {media} {length}".encode()
    if url.startswith("filedesc:") or length > limit:
        read = reader.skip(length)
        if read < length:
            return _cut(url, key, where, read, length)
        if url.startswith("filedesc:"):
            return Removed("warcinfo", url, key, where)
        detail = f"{where}: the record has {length} bytes, the limit is {limit}"
        return Rejected("too_large", url, key, detail)
    block = reader.block(length)
    if len(block) < length:
        return _cut(url, key, where, len(block), length)
    if not url.startswith(("http:", "https:")):
        return Removed("not_http", url, key, f"{where}: {url.split(':', 1)[0]}")
    head, separator, body = block.partition(b"\r\n\r\n")
    if not separator:
        head, separator, body = block.partition(b"\n\n")
    status, fields = _http(head)
    if status is None:
        return Rejected("bad_http", url, key, f"{where}: no HTTP status line")
    if status != 200:
        return Removed("http_status", url, key, where, float(status), 200.0)
    declared, charset = media_type(fields.get("content-type"))
    media = declared or media
    if not is_html(media, b""):
        return Removed("content_type", url, key, f"{where}: {media}")
    try:
        encodings = fields.get("transfer-encoding"), fields.get("content-encoding")
        payload = decoded_body(body, *encodings, limit)
    except BodyError as error:
        return Rejected(error.reason, url, key, f"{where}: {error}")
    if not payload.strip():
        return Removed("empty_body", url, key, where)
    return Page(url, fetched, media, charset, payload, offset)


def _cut(url: str, key: bytes, where: str, read: int, length: int) -> Rejected:
    detail = f"{where}: {read} bytes of {length}, the file ends within the record"
    return Rejected("truncated_record", url, key, detail)


def _http(head: bytes) -> tuple[int | None, dict[str, str]]:
    first, *rest = head.decode("latin-1").splitlines() or [""]
    parts = first.split(" ", 2)
    if not first.startswith("HTTP/") or len(parts) < 2 or not parts[1].isdigit():
        return None, {}
    fields: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return int(parts[1]), fields


def is_arc(path: Path) -> bool:
    """Whether a file begins as an ARC file does; any other is left to the WARC reader."""
    return _Reader(path).line().startswith(b"filedesc:")
