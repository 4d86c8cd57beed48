"""Requests and responses of a crawl as WARC records (ISO 28500), each a gzip member of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from urllib.parse import urlsplit

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

# Said of how a body was sent, which is not how it is kept.
_OF_THE_WAY = frozenset({"transfer-encoding", "connection", "keep-alive", "content-length"})


def exchange(
    url: str,
    sent: Sequence[tuple[str, str]],
    status: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    moment: datetime,
) -> bytes:
    """The two records of a request and its response, the response first.

    Args:
        sent: headers of the request.
        status: such as "200 OK".
        headers: of the response, as they came; those of the transfer are replaced by the length of
            the body as it is here.
        body: still as Content-Encoding says.
    """
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_THE_WAY]
    kept.append(("Content-Length", str(len(body))))
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    date = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = hashlib.sha256(f"{url} {date}".encode()).hexdigest()
    stream = BytesIO()
    writer = WARCWriter(stream, gzip=True, warc_version="1.1")
    response = writer.create_warc_record(
        url,
        "response",
        payload=BytesIO(body),
        http_headers=StatusAndHeaders(status, kept, protocol="HTTP/1.1"),
        warc_headers_dict={"WARC-Date": date, "WARC-Record-ID": _identifier(made[:32])},
    )
    request = writer.create_warc_record(
        url,
        "request",
        http_headers=StatusAndHeaders(f"GET {target} HTTP/1.1", list(sent), is_http_request=True),
        warc_headers_dict={"WARC-Date": date, "WARC-Record-ID": _identifier(made[32:])},
    )
    writer.write_request_response_pair(request, response)
    return stream.getvalue()


def _identifier(digits: str) -> str:
    """A record's name, from 32 hex digits: made of what it is of, so that it is no chance."""
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return f"<urn:uuid:{'-'.join(groups)}>"
