"""The columnar index of Common Crawl: Parquet files by URL, of which parts are read by ranges.

https://commoncrawl.org/columnar-index. Row groups are left out by their statistics where URLs are
asked for; without them files are read in the order of the seed, until there are enough captures.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.fetch.commoncrawl.captures import (
    Capture,
    CommonCrawlError,
    Wanted,
    holds,
    rank,
    surt_range,
    within,
)
from llm.corpus.fetch.commoncrawl.path_lists import read_paths
from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.web.client import Web
from llm.corpus.fetch.web.download import read_range

_KEY = "url_surtkey"
_COLUMNS = [
    _KEY, "url", "fetch_time", "fetch_status", "content_digest", "content_mime_detected",
    "content_languages", "warc_filename", "warc_record_offset", "warc_record_length",
]  # fmt: skip
_SUBSET = "/subset=warc/"  # beside it: redirects and errors, robots.txt files
_AHEAD = 1 << 20  # bytes of a request, at least

Span = tuple[str, tuple[str, ...]]


def find_captures(web: Web, data_url: str, wanted: Wanted) -> Iterator[Capture]:
    """Captures that are wanted; without URLs no more files are read than are needed for as many.

    Raises:
        CommonCrawlError: the snapshot has no such index, or it is another.
        NotFetchedError: the server does not answer.
    """
    paths = [
        path
        for path in read_paths(web, data_url, wanted.snapshot, "cc-index-table")
        if _SUBSET in path
    ]
    spans = [surt_range(pattern) for pattern in wanted.urls]
    if not spans:
        paths.sort(key=lambda path: rank(wanted.seed, path))
    found = 0
    for path in paths:
        for capture in _of_file(web, f"{data_url.rstrip('/')}/{path}", spans, wanted):
            found += 1
            yield capture
        if not spans and found >= wanted.max_records:
            return


def _of_file(web: Web, url: str, spans: Sequence[Span], wanted: Wanted) -> Iterator[Capture]:
    with pq.ParquetFile(pa.PythonFile(RangedFile(web, url), mode="r")) as file:
        missing = set(_COLUMNS) - set(file.schema_arrow.names)
        if missing:
            raise CommonCrawlError(
                f"{url} lacks the columns {', '.join(sorted(missing))}: use `index: cdx`"
            )
        key = file.schema_arrow.names.index(_KEY)
        for number in range(file.num_row_groups):
            statistics = file.metadata.row_group(number).column(key).statistics
            if spans and not any(_may_hold(statistics, span) for span in spans):
                continue
            yield from _of_rows(file.read_row_group(number, columns=_COLUMNS), spans, wanted)


def _may_hold(statistics: Any, span: Span) -> bool:
    """Whether a row group can have a key that begins so; without statistics any can."""
    if statistics is None or not statistics.has_min_max:
        return True
    begin = span[0]
    return bool(statistics.min[: len(begin)] <= begin <= statistics.max)


def _of_rows(rows: pa.Table, spans: Sequence[Span], wanted: Wanted) -> Iterator[Capture]:
    for batch in rows.to_batches(max_chunksize=50_000):
        for row in batch.to_pylist():
            if spans and not any(within(row[_KEY], *span) for span in spans):
                continue
            status, languages = str(row["fetch_status"]), row["content_languages"] or ""
            if not holds(wanted, status, row["content_mime_detected"] or "", languages):
                continue
            yield Capture(
                row[_KEY], row["fetch_time"].strftime("%Y%m%d%H%M%S"), row["url"],
                row["content_digest"] or "", row["warc_filename"], row["warc_record_offset"],
                row["warc_record_length"],
            )  # fmt: skip


class RangedFile(io.RawIOBase):
    """A file of a web server, of which only what is read is asked for.

    Raises:
        NotFetchedError: it is not there, or the server does not say how long it is.
    """

    def __init__(self, web: Web, url: str) -> None:
        self._web, self._url, self._at = web, url, 0
        self._begin, self._block = 0, b""
        with web.ask(url, {"Accept-Encoding": "identity"}, method="HEAD") as answer:
            if answer.status != 200 or answer.length is None:
                raise NotFetchedError("missing", f"{answer.status} {answer.reason} for {url}")
            self._size = answer.length

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Some bytes; small ones are taken from those around the last."""
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        if not self._begin <= self._at < end <= self._begin + len(self._block):
            begin = min(self._at, max(0, self._size - _AHEAD))
            length = max(end, min(self._size, begin + _AHEAD)) - begin
            self._block, self._begin = read_range(self._web, self._url, begin, length, {}), begin
        data = self._block[self._at - self._begin : end - self._begin]
        self._at = end
        return data
