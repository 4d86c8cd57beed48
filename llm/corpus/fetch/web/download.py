"""A whole file from a web server, gone on with where an earlier try broke off."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.web.client import PASSING, Answer, Web, limited, refused

_SPARE = 1 << 16  # bytes more than a server said, before it is taken for one that never ends


def download(
    web: Web,
    url: str,
    entry: Entry,
    partial: Partial,
    most_bytes: int,
    validator: str | None,
    secret: Mapping[str, str],
) -> Iterator[bytes]:
    """The bytes of a file, in portions, once all of them are there.

    Args:
        url: of the entry.
        partial: where they are gathered; what an earlier try left is gone on with (ranges, RFC
            9110, 14).
        most_bytes: it may have, whatever was said of it.
        validator: what the server calls the bytes by (`Answer.version`); others are refused. `None`
            where the entry's version is no word of the server's.
        secret: headers for the host of the URL alone.

    Raises:
        NotFetchedError: it cannot be had, or is not what was listed ("changed", "wrong_length",
            "too_large").
    """
    empty = 0  # tries that brought nothing; those that did do not count
    while True:
        before = partial.size
        try:
            if _ask(web, url, entry, partial, most_bytes, validator, secret):
                break
            raise NotFetchedError("cut_off", "the answer ended early")
        except NotFetchedError as error:
            empty = 0 if partial.size > before else empty + 1
            if error.reason not in PASSING or empty >= web.manners.tries:
                raise
        time.sleep(web.wait(max(1, empty), None))
    yield from partial.take()


def _ask(
    web: Web,
    url: str,
    entry: Entry,
    partial: Partial,
    most_bytes: int,
    version: str | None,
    secret: Mapping[str, str],
) -> bool:
    """One request; whether all is there now."""
    have = partial.size
    if entry.length is not None and have >= entry.length > 0:
        return True
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        # A weak ETag says nothing of single bytes; the version is compared below all the same.
        if version is not None and not version.startswith("W/"):
            headers["If-Range"] = version
    with web.ask(url, headers, secret=secret) as answer:
        if answer.status == 416 and have:  # nothing behind what is there
            if (answer.header("content-range") or "").endswith(f"*/{have}"):
                return True
            partial.open(0).close()
            raise NotFetchedError("cut_off", "what an earlier try left does not fit")
        if answer.status not in (200, 206):
            raise refused(answer)
        if version is not None and answer.version not in (None, version):
            raise NotFetchedError("changed", "the server has another version than was listed")
        if answer.header("content-encoding") not in (None, "identity"):
            raise NotFetchedError("bad_encoding", "compressed, although it was asked for as it is")
        begin, whole = _part(answer, have)
        if entry.length is not None and whole not in (None, entry.length):
            raise NotFetchedError(
                "wrong_length", f"{whole} bytes are offered, {entry.length} were listed"
            )
        most = most_bytes if entry.length is None else min(most_bytes, entry.length + _SPARE)
        if whole is not None and whole > most_bytes:
            raise NotFetchedError("too_large", f"{whole:,} bytes, the limit is {most_bytes:,}")
        with partial.open(begin) as stream:
            _write(answer, stream, most)
        size = partial.size
    return whole is None or size >= whole


def _write(answer: Answer, stream: BinaryIO, most: int) -> None:
    for chunk in answer.body:
        if stream.tell() + len(chunk) > most:
            raise NotFetchedError("too_large", f"more than {most:,} bytes came")
        stream.write(chunk)
        stream.flush()  # what a kill leaves is what the next try need not ask for


def _part(answer: Answer, have: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the whole is, if that is said."""
    if answer.status == 200:
        return 0, answer.length
    unit, _, rest = (answer.header("content-range") or "").partition(" ")
    span, _, whole = rest.partition("/")
    begin = span.partition("-")[0]
    if unit != "bytes" or begin != str(have) or not (whole == "*" or whole.isdigit()):
        raise NotFetchedError("bad_answer", "the server answers another range than was asked for")
    return have, None if whole == "*" else int(whole)


def read_range(web: Web, url: str, offset: int, length: int, secret: Mapping[str, str]) -> bytes:
    """Some bytes of a file.

    Raises:
        NotFetchedError: they cannot be had; a server that sends the whole file instead is told as
            "no_ranges".
    """
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={offset}-{offset + length - 1}"}
    number = 0
    while True:
        number += 1
        try:
            with web.ask(url, headers, secret=secret) as answer:
                if answer.status == 200 and not (offset == 0 and answer.length == length):
                    raise NotFetchedError("no_ranges", "the server sends whole files only")
                if answer.status not in (200, 206):
                    raise refused(answer)
                if answer.status == 206:
                    _part(answer, offset)
                data = bytearray()
                for chunk in answer.body:
                    data += chunk
                    if len(data) > length:
                        raise NotFetchedError("wrong_length", f"more than the {length} bytes asked")
                if len(data) < length:
                    raise NotFetchedError("cut_off", f"{len(data)} of {length} bytes came")
                return bytes(data)
        except NotFetchedError as error:
            if error.reason not in PASSING or number >= web.manners.tries:
                raise
        time.sleep(web.wait(number, None))


def read_whole(web: Web, url: str, most_bytes: int) -> bytes | None:
    """A small file, at once; `None` where there is none.

    Raises:
        NotFetchedError: it cannot be had, or is larger.
    """
    number = 0
    while True:
        number += 1
        try:
            with web.ask(url, {"Accept-Encoding": "identity"}) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise refused(answer)
                seconds = 60 * web.manners.timeout_seconds
                return b"".join(limited(answer.body, most_bytes, seconds, time.monotonic))
        except NotFetchedError as error:
            if error.reason not in PASSING or number >= web.manners.tries:
                raise
        time.sleep(web.wait(number, None))
