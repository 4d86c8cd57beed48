"""Files of stores that speak S3, through fsspec's s3fs.

Who one is there, which endpoint is asked and where it is, is for the environment to say, as for any
other program (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL ...): none of it is kept.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.web.client import Manners
from llm.errors import ExpectedError

_WAY_OUT = (
    "; put credentials into the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE), or set "
    "`anonymous: true` for a public bucket"
)
_BLOCK = 8 << 20  # bytes of a request


class BucketError(ExpectedError):
    """A store that speaks S3 cannot be asked; says what is missing."""


class Bucket:
    """All buckets of one store.

    Args:
        manners: how often is tried again, with which waits.
        anonymous: ask without credentials, as public buckets allow.
    """

    def __init__(self, manners: Manners, anonymous: bool) -> None:
        self._manners, self._anonymous = manners, anonymous
        self._opened: Any = None

    @property
    def _files(self) -> Any:
        if self._opened is None:
            try:
                import s3fs
            except ImportError as error:
                raise BucketError(
                    "s3:// needs s3fs: install it with `pip install -e '.[s3]'`"
                ) from error
            self._opened = s3fs.S3FileSystem(
                anon=self._anonymous,
                # Named, so that s3fs, which keeps clients, keeps one for each.
                endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3")
                or os.environ.get("AWS_ENDPOINT_URL"),
                use_listings_cache=False,
                config_kwargs={
                    "connect_timeout": self._manners.timeout_seconds,
                    "read_timeout": self._manners.timeout_seconds,
                    "retries": {"total_max_attempts": 1},  # trying again is ours
                },
            )
            self._opened.retries = 1
        return self._opened

    def list(self, url: str, name: Callable[[str], str]) -> Iterator[Entry]:
        """The file of a URL, those below a folder (a slash at the end), or those of a glob, in the
        order of their keys.

        Args:
            name: URL -> file of the snapshot.

        Raises:
            BucketError: the store refuses, or there is nothing.
        """
        try:
            found = self._patiently(lambda: self._look(url))
        except ValueError as error:
            raise BucketError(f"{url} is no pattern: {error}") from error
        except NotFetchedError as error:
            if error.reason == "missing":
                found = {}
            elif error.reason == "forbidden":
                raise BucketError(f"{url}: {error.detail}{_WAY_OUT}") from error
            else:
                raise BucketError(f"{url}: {error.detail}; run again to try it again") from error
        if not found:
            raise BucketError(f"{url} matches no file; correct it or leave it out")
        for key in sorted(found):
            facts, location = found[key], f"s3://{key}"
            etag = facts.get("ETag")
            yield Entry(name(location), location, None, facts["size"], None, etag)

    def _look(self, url: str) -> dict[str, Any]:
        """Key -> facts."""
        path = url.removeprefix("s3://")
        if url.endswith("/"):
            found: dict[str, Any] = self._files.find(path.rstrip("/"), detail=True)
        elif any(character in path for character in "*?["):
            found = self._files.glob(path, detail=True)
        else:
            found = {path: self._files.info(path)}
        return {key: facts for key, facts in found.items() if facts["type"] == "file"}

    def read(self, entry: Entry, partial: Partial, most_bytes: int) -> Iterator[bytes]:
        """The bytes of a file, in portions, once all of them are there.

        Args:
            partial: where they are gathered; what an earlier try left of the same version is gone
                on with.

        Raises:
            NotFetchedError: it cannot be had, or is not what was listed.
        """
        facts = self._patiently(lambda: self._files.info(entry.location))
        if entry.version is not None and facts.get("ETag") != entry.version:
            raise NotFetchedError("changed", "the store has another version than was listed")
        size = int(facts["size"])
        if size > most_bytes:
            raise NotFetchedError("too_large", f"{size:,} bytes, the limit is {most_bytes:,}")
        with partial.open(min(partial.size, size)) as stream:
            while (start := stream.tell()) < size:
                end = min(start + _BLOCK, size)
                data = self._patiently(functools.partial(self._block, entry.location, start, end))
                stream.write(data)
                stream.flush()  # what a kill leaves need not be asked for again
        after = self._patiently(lambda: self._files.info(entry.location))
        if after.get("ETag") != facts.get("ETag"):
            raise NotFetchedError("changed", "it was replaced while it was read")
        yield from partial.take()

    def _block(self, location: str, start: int, end: int) -> bytes:
        data: bytes = self._files.cat_file(location, start=start, end=end)
        if len(data) != end - start:
            raise ConnectionError(f"{len(data)} bytes came of {end - start} asked for")
        return data

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What a request gives, tried again while the store is busy.

        Raises:
            NotFetchedError
        """
        number = 0
        while True:
            number += 1
            try:
                return ask()
            except Exception as error:
                failure = _told(error)
                if failure is None:
                    raise
                if failure.reason != "busy" or number >= self._manners.tries:
                    raise failure from error
            wait = self._manners.first_wait_seconds * 2 ** (number - 1)
            time.sleep(min(wait, self._manners.longest_wait_seconds))


_CODES = {
    "NoSuchKey": "missing", "NoSuchBucket": "missing", "404": "missing",
    "AccessDenied": "forbidden", "403": "forbidden", "InvalidAccessKeyId": "forbidden",
    "SignatureDoesNotMatch": "forbidden", "ExpiredToken": "forbidden",
    "SlowDown": "busy", "503": "busy", "ServiceUnavailable": "busy", "500": "busy",
    "InternalError": "busy", "RequestTimeout": "busy", "429": "busy", "502": "busy",
}  # fmt: skip


def _told(error: BaseException) -> NotFetchedError | None:
    """What an error of s3fs means; `None` where it is none of the store or the network.

    Of the error's words only names and codes are passed on: they may quote a key.
    """
    from aiohttp import ClientError as ConnectionFailure
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (ClientError, BotoCoreError)):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ClientError):
        code = str(cause.response.get("Error", {}).get("Code", "?"))
        return NotFetchedError(_CODES.get(code, "store_error"), f"the store says {code}")
    if isinstance(error, FileNotFoundError):
        return NotFetchedError("missing", "the store has no such file")
    if isinstance(cause, NoCredentialsError):
        return NotFetchedError("forbidden", "there are no credentials")
    if isinstance(error, PermissionError):
        return NotFetchedError("forbidden", "the store refuses access")
    if isinstance(cause, BotoCoreError):
        return NotFetchedError("busy", type(cause).__name__)
    if isinstance(error, (ConnectionFailure, ConnectionError, TimeoutError, OSError)):
        return NotFetchedError("busy", type(error).__name__)
    return None
