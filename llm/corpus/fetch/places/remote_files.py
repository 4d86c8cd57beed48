"""A place that is some files by their URLs: of web servers, and of stores that speak S3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.file_urls import BUCKET, WEB, FileUrlError, file_name
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.places.buckets import Bucket
from llm.corpus.fetch.web.client import Manners, Web
from llm.corpus.fetch.web.download import download


class RemoteFiles:
    """Files by their URLs.

    Args:
        manners: fields of `Manners`.
        anonymous: of `Bucket`.
    """

    def __init__(self, manners: Mapping[str, Any], anonymous: bool) -> None:
        known = Manners(**manners)
        self._web, self._bucket = Web(known), Bucket(known, anonymous)

    def list(self, urls: Iterable[str]) -> Iterator[Entry]:
        """An entry a file.

        What a server does not tell of one shows, or is refused with the reason, when it is read.

        Args:
            urls: of files; for s3 also globs, and folders by a slash at the end.

        Raises:
            FileUrlError: two files would come under one name.
            BucketError: a store cannot be listed.
        """
        named: dict[str, str] = {}
        for url in urls:
            in_web = urlsplit(url).scheme in WEB
            found = (self._of_web(url),) if in_web else self._bucket.list(url, file_name)
            for entry in found:
                if entry.file in named:
                    raise FileUrlError(
                        f"{named[entry.file]} and {entry.location} both come under the name "
                        f"{entry.file!r}; name one, or put them into places of their own"
                    )
                named[entry.file] = entry.location
                yield entry

    def _of_web(self, url: str) -> Entry:
        name = file_name(url)
        with (
            contextlib.suppress(NotFetchedError),
            self._web.ask(url, {"Accept-Encoding": "identity"}, method="HEAD") as answer,
        ):
            if answer.status == 200:
                return Entry(name, url, None, answer.length, None, answer.version)
        return Entry(name, url)

    def read(self, entry: Entry, scratch: Path, most_bytes: int) -> Iterator[bytes]:
        """The bytes of an entry.

        Args:
            scratch: where they are gathered, to go on from after a kill.

        Raises:
            NotFetchedError
        """
        partial = Partial(scratch, entry)
        if urlsplit(entry.location).scheme in BUCKET:
            return self._bucket.read(entry, partial, most_bytes)
        return download(self._web, entry.location, entry, partial, most_bytes, entry.version, {})
