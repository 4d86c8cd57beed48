"""Undoing what HTTP does to a body in transit: chunks and content encodings (RFC 9112, 9110)."""

from __future__ import annotations

import io
import zlib

import zstandard

from llm.errors import ExpectedError

# So small because a step may grow some thirty-thousandfold before the limit is looked at.
_ZSTD_STEP = 4096
_START = 64  # bytes in which markup begins
_KNOWN = frozenset(("chunked", "gzip", "x-gzip", "deflate", "br", "zstd"))
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15
# Said by servers that mean no coding: those of mail (RFC 2045), and names of charsets.
_NO_CODINGS = frozenset(
    [
        *("", "identity", "none", "null", "off", "raw", "plain", "7bit", "8bit", "binary"),
        *("utf-8", "utf8", "ascii", "iso-8859-1", "text/html", "text"),
    ]
)


class BodyError(ExpectedError, ValueError):
    """A body that cannot be restored. `reason` is one word for tables."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decoded_body(
    raw: bytes, transfer_encoding: str | None, content_encoding: str | None, limit: int
) -> bytes:
    """The payload of an HTTP message.

    Crawlers often undo an encoding and leave its header in place; so a body whose first bytes
    cannot be of the encoding it claims is taken as it is, and so is markup under the name of an
    encoding nobody knows. One that starts right and breaks later is an error.

    Args:
        limit: most bytes a payload may have when decoded.

    Raises:
        BodyError: reason `bad_chunking`, `bad_content_encoding`, `unknown_content_encoding` or
            `too_large`.
    """
    in_transfer = [coding for coding in _codings(transfer_encoding) if coding in _KNOWN]
    for coding in reversed(_codings(content_encoding) + in_transfer):  # the last was put on last
        if coding == "chunked":
            raw = _dechunk(raw)
        elif coding in ("gzip", "x-gzip"):
            raw = _inflate(raw, _GZIP_WINDOW, limit) if raw[:2] == b"\x1f\x8b" else raw
        elif coding == "deflate":
            raw = _decode_deflate(raw, limit)
        elif coding == "br":
            raw = _brotli(raw, limit)
        elif coding == "zstd":
            raw = _zstd(raw, limit) if raw[:4] == b"\x28\xb5\x2f\xfd" else raw
        elif not _is_markup(raw):
            raise BodyError("unknown_content_encoding", f"Content-Encoding {coding!r}")
    if len(raw) > limit:
        raise BodyError("too_large", f"{len(raw)} bytes, the limit is {limit}")
    return raw


def _codings(header: str | None) -> list[str]:
    """The codings a header names, those that change nothing left out."""
    parts = (part.split(";", 1)[0] for part in (header or "").split(","))
    named = (part.strip().strip("\"'").lower() for part in parts)
    return [coding for coding in named if coding not in _NO_CODINGS]


def _dechunk(raw: bytes) -> bytes:
    pieces: list[bytes] = []
    position = 0
    while True:
        end = raw.find(b"\n", position)
        size = _chunk_size(raw[position:end]) if end >= 0 else None
        if size is None:
            if position == 0:
                return raw  # the crawler undid the chunks
            raise BodyError("bad_chunking", f"no chunk size at byte {position} of the body")
        if size == 0:
            return b"".join(pieces)
        start = end + 1
        piece = raw[start : start + size]
        if len(piece) < size:
            raise BodyError(
                "bad_chunking", f"a chunk of {size} bytes has {len(piece)}, at byte {start}"
            )
        pieces.append(piece)
        position = start + size
        position += 2 if raw[position : position + 2] == b"\r\n" else 1


def _chunk_size(line: bytes) -> int | None:
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 12 or digits.strip(b"0123456789abcdefABCDEF"):
        return None
    return int(digits, 16)


def _inflate(raw: bytes, window: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while True:
        engine = zlib.decompressobj(window)
        try:
            pieces.append(engine.decompress(raw, limit + 1 - total))
        except zlib.error as error:
            raise BodyError("bad_content_encoding", str(error)) from error
        total += len(pieces[-1])
        if total > limit:
            raise BodyError("too_large", f"more than {limit} bytes when decoded")
        if not engine.eof:
            raise BodyError("bad_content_encoding", "the compressed body is cut off")
        raw = engine.unused_data
        if raw[:2] != b"\x1f\x8b":
            return b"".join(pieces)


def _is_markup(raw: bytes) -> bool:
    """Whether a body is empty or markup already: its first byte then means another encoding."""
    start = raw[:_START].lstrip(b"\xef\xbb\xbf \t\r\n")
    return not raw or start[:1] == b"<"


def _decode_deflate(raw: bytes, limit: int) -> bytes:
    # "deflate" means zlib by the standard and raw deflate by half of the servers.
    if _is_markup(raw):
        return raw
    try:
        return _inflate(raw, _ZLIB_WINDOW, limit)
    except BodyError as error:
        if error.reason == "too_large":
            raise
        return _inflate(raw, _RAW_WINDOW, limit)


def _brotli(raw: bytes, limit: int) -> bytes:
    from fastwarc.stream_io import BrotliReader

    if _is_markup(raw):
        return raw
    try:
        data = BrotliReader(io.BytesIO(raw)).read(limit + 1)
    except OSError as error:
        raise BodyError("bad_content_encoding", str(error)) from error
    if len(data) > limit:
        raise BodyError("too_large", f"more than {limit} bytes when decoded")
    return data


def _zstd(raw: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    total = position = 0
    while position < len(raw):
        engine = zstandard.ZstdDecompressor().decompressobj()
        while not engine.eof:
            piece = raw[position : position + _ZSTD_STEP]
            if not piece:
                raise BodyError("bad_content_encoding", "the compressed body is cut off")
            position += len(piece)
            try:
                pieces.append(engine.decompress(piece))
            except zstandard.ZstdError as error:
                raise BodyError("bad_content_encoding", str(error)) from error
            total += len(pieces[-1])
            if total > limit:
                raise BodyError("too_large", f"more than {limit} bytes when decoded")
        position -= len(engine.unused_data)
    return b"".join(pieces)
