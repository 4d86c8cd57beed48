"""Files as users have them: archives that break off, rows that are no example."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FACTS = (
    "The mill stood at the river, and its wheel turned from the thaw until the first hard frost.",
    "A lighthouse keeper wrote down the wind, the tide and every sail that passed before noon.",
    "Bread rises because yeast turns sugar into gas, which the dough holds like small balloons.",
    "The old map showed a road over the pass that no mule had walked for a hundred years.",
    "Bees dance to tell where flowers are: the angle gives the way, the length how far it is.",
)


def capture(url: str, body: bytes, kind: str = "response") -> bytes:
    """A WARC record in a gzip member of its own."""
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-05-01T00:00:00Z\r\nWARC-Record-ID: <urn:{url}>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def archive(path: Path, kept: int = len(FACTS), more: int = 0) -> int:
    """An archive of so many whole records and the first `more` bytes of the next.

    Returns the offset behind the whole records.
    """
    records = [
        capture(f"http://x.org/{number}", f"<html><body><p>{fact}</p></body></html>".encode())
        for number, fact in enumerate(FACTS)
    ]
    whole = b"".join(records[:kept])
    path.write_bytes(whole + b"".join(records[kept:])[:more])
    return len(whole)


def rows(path: Path, records: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
