"""The lists of files that come with every crawl of Common Crawl, and whole archives of them."""

from __future__ import annotations

import heapq
import posixpath
import zlib
from collections.abc import Iterator

from llm.corpus.fetch.commoncrawl.captures import CommonCrawlError, rank
from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.web.client import Web
from llm.corpus.fetch.web.download import read_whole

_MOST_BYTES = 256 << 20


def read_paths(web: Web, data_url: str, snapshot: str, kind: str) -> list[str]:
    """Paths of all files of a kind, relative to the server.

    Args:
        kind: "warc", "wet", "cc-index-table".

    Raises:
        CommonCrawlError: there is no such list.
        NotFetchedError: the server does not answer.
    """
    url = f"{data_url.rstrip('/')}/crawl-data/{snapshot}/{kind}.paths.gz"
    packed = read_whole(web, url, _MOST_BYTES)
    if packed is None:
        raise CommonCrawlError(
            f"{url} is not there: correct `snapshot` (https://data.commoncrawl.org lists them)"
        )
    try:
        lines = zlib.decompressobj(31).decompress(packed, _MOST_BYTES).decode("ascii").split("\n")
    except (zlib.error, UnicodeDecodeError) as error:
        raise CommonCrawlError(f"{url} is no gzipped list of paths: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def list_archives(
    web: Web, data_url: str, snapshot: str, kind: str, count: int, seed: int
) -> Iterator[Entry]:
    """Whole archives, chosen by a seed: of n and n + 1 the first n are the same.

    Args:
        kind: "warc", "wet".

    Raises:
        CommonCrawlError, NotFetchedError: see `read_paths`.
    """
    paths = read_paths(web, data_url, snapshot, kind)
    for path in sorted(heapq.nsmallest(count, paths, key=lambda path: rank(seed, path))):
        length, version = None, None
        try:
            url = f"{data_url.rstrip('/')}/{path}"
            with web.ask(url, {"Accept-Encoding": "identity"}, method="HEAD") as answer:
                if answer.status == 200:
                    length, version = answer.length, answer.version
        except NotFetchedError:
            pass  # reading it fails with the reason, and is tried again
        yield Entry(posixpath.basename(path), path, None, length, None, version)
