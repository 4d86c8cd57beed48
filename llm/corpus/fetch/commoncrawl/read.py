"""What a crawl of Common Crawl has of what is wanted, and reading it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.corpus.fetch.commoncrawl import cdx, columnar
from llm.corpus.fetch.commoncrawl.captures import (
    CommonCrawlError,
    Wanted,
    as_entries,
    choose,
)
from llm.corpus.fetch.commoncrawl.path_lists import list_archives
from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.web.client import Manners, Web
from llm.corpus.fetch.web.download import download, read_range

_DIGEST = re.compile(rb"^WARC-Payload-Digest:\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
_HEAD = 1 << 16
_LARGEST_ARCHIVE = 100 << 30


class CommonCrawl:
    """A crawl of Common Crawl, or of a server that has the same files.

    Args:
        manners: fields of `Manners`.
        servers: URLs of "index" (CDX) and "data".
    """

    def __init__(self, manners: Mapping[str, Any], servers: Mapping[str, str]) -> None:
        self._web, self._servers = Web(Manners(**manners)), servers

    def list(self, asks: Mapping[str, Any]) -> Iterator[Entry]:
        """An entry a capture, or a whole archive.

        Args:
            asks: fields of `Wanted`, and `index` ("cdx", "columnar"), `archives` ("", "warc",
                "wet") with their `count`.

        Raises:
            CommonCrawlError: there is nothing of the kind; says what to change.
            NotFetchedError: a server does not answer.
        """
        data, snapshot = self._servers["data"], asks["snapshot"]
        if asks["archives"]:
            yield from list_archives(
                self._web, data, snapshot, asks["archives"], asks["count"], asks["seed"]
            )
            return
        wanted = Wanted(
            snapshot, tuple(asks["urls"]), tuple(asks["languages"]), tuple(asks["media_types"]),
            asks["max_records"], asks["seed"],
        )  # fmt: skip
        if asks["index"] == "cdx":
            found = cdx.find_captures(self._web, self._servers["index"], wanted)
        else:
            found = columnar.find_captures(self._web, data, wanted)
        entries = as_entries(snapshot, choose(found, wanted))
        if not entries:
            raise CommonCrawlError(
                f"{snapshot} has no capture of {', '.join(asks['urls']) or 'any URL'} with status "
                "200 and the languages and media types asked for: widen one of them, or correct "
                "`snapshot`"
            )
        yield from entries

    def read(self, entry: Entry, scratch: Path) -> Iterator[bytes]:
        """The bytes of an entry.

        Raises:
            NotFetchedError: they cannot be had, or are not of the capture that was listed.
        """
        url = f"{self._servers['data'].rstrip('/')}/{entry.location}"
        if entry.offset is None or entry.length is None:
            partial = Partial(scratch, entry)
            version = entry.version
            yield from download(self._web, url, entry, partial, _LARGEST_ARCHIVE, version, {})
            return
        data = read_range(self._web, url, entry.offset, entry.length, {})
        _check(data, entry)
        yield data


def _check(data: bytes, entry: Entry) -> None:
    """Whether a range is one record, of the payload that the index says.

    Raises:
        NotFetchedError: it is another ("changed"), or none ("bad_record").
    """
    member = zlib.decompressobj(31)
    try:
        head = member.decompress(data, _HEAD)
        while member.unconsumed_tail:
            member.decompress(member.unconsumed_tail, 1 << 20)
    except zlib.error as error:
        raise NotFetchedError("bad_record", f"no gzip data at byte {entry.offset}") from error
    if not head.startswith(b"WARC/") or not member.eof or member.unused_data:
        raise NotFetchedError("bad_record", f"not one WARC record at byte {entry.offset}")
    said = _DIGEST.search(head)
    if (
        entry.version is not None
        and said is not None
        and said[1].decode("latin-1") != entry.version
    ):
        raise NotFetchedError("changed", "the record's payload is not the one of the index")
