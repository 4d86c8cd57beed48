"""Small archives and tables of N sound pages, packed in every way they come in."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from llm.corpus.source.open import Origin, read_records
from llm.corpus.source.records import Page, Record

LIMIT = 20_000
GROUP = 5


def body(number: int) -> bytes:
    return b"<html><p>This is page number %d of the archive.</p></html>" % number


def warc(number: int) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body(number)
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://x.org/{number}\r\n"
        f"WARC-Date: 2024-05-01T10:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number:032}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def arc(number: int) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body(number)
    return (
        f"http://x.org/{number} 1.2.3.4 20240501100000 text/html {len(block)}\n".encode()
        + block
        + b"\n"
    )


def line(number: int) -> bytes:
    row = {"text": body(number).decode(), "url": f"http://x.org/{number}"}
    return json.dumps(row).encode() + b"\n"


RECORDS = {"warc": warc, "arc": arc, "jsonl": line}


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _lz4(data: bytes) -> bytes:
    packed: bytes = lz4.frame.compress(data, content_checksum=True)
    return packed


def _blocks(records: list[bytes]) -> bytes:
    """As bgzip does: members that know nothing of records."""
    data = b"".join(records)
    return b"".join(_gzip(data[i : i + 300]) for i in range(0, len(data), 300))


# How records are put into a file; of "each" kinds a record is a member of its own.
PACKED: dict[str, Callable[[list[bytes]], bytes]] = {
    "plain": b"".join,
    "gz, each": lambda records: b"".join(map(_gzip, records)),
    "gz, blocks": _blocks,
    "gz, one piece": lambda records: _gzip(b"".join(records)),
    "zst, each": lambda records: b"".join(map(zstandard.compress, records)),
    "lz4, each": lambda records: b"".join(map(_lz4, records)),
    "zst, one piece": lambda records: zstandard.compress(b"".join(records)),
}


def parquet(numbers: list[int]) -> tuple[bytes, list[tuple[int, int]]]:
    """A file of `GROUP` rows a group, and from which to which byte each group lies."""
    stream = io.BytesIO()
    texts = [body(number).decode() for number in numbers]
    table = pa.table({"text": texts, "url": [f"http://x.org/{number}" for number in numbers]})
    pq.write_table(table, stream, row_group_size=GROUP, write_page_checksum=True)
    groups = pq.ParquetFile(stream).metadata
    places = []
    for index in range(groups.num_row_groups):
        columns = [groups.row_group(index).column(c) for c in range(table.num_columns)]
        starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
        ends = [s + c.total_compressed_size for s, c in zip(starts, columns, strict=True)]
        places.append((min(starts), max(ends)))
    return stream.getvalue(), places


def read(folder: Path, kind: str, data: bytes, limit: int = LIMIT) -> list[Record]:
    """What the reader of `kind` makes of these bytes."""
    path = folder / "file"
    path.write_bytes(data)
    reader = "warc" if kind == "arc" else kind
    origin = Origin("s", reader, "text", "url", "id", "date", "license", "text/plain", "unknown")
    return list(read_records(path, f"file.{kind}", origin, limit))


def pages(records: list[Record]) -> list[bytes]:
    return [record.payload for record in records if isinstance(record, Page)]
