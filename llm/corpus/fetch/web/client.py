"""Asking a web server: patiently, with an end to everything, and never where one must not.

What waits, tries again, follows redirects or refuses is here, once, for all kinds of places. The
bodies come as the server sent them, chunks joined: a crawl keeps them so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import httpcore

from llm.corpus.fetch.allowed_hosts import AllowedHosts
from llm.corpus.fetch.entries import NotFetchedError
from llm.corpus.fetch.web.network import GuardedNetwork
from llm.corpus.fetch.web.urls import ascii_url

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
_REASONS = {401: "forbidden", 403: "forbidden", 404: "missing", 410: "missing", 451: "forbidden"}


@dataclass(frozen=True, slots=True)
class Manners:
    """How a server is asked.

    Attributes:
        user_agent: what is said to every server.
        private_hosts: those that may lie at addresses that are not public.
        timeout_seconds: for a connection, and for the next bytes.
        tries: of one request.
        first_wait_seconds: before the second try; each further wait is twice as long.
        longest_wait_seconds: of a wait, also where the server asks for a longer one.
    """

    user_agent: str
    private_hosts: tuple[str, ...]
    timeout_seconds: float
    tries: int
    first_wait_seconds: float
    longest_wait_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes:
        url: that it was said of, after redirects.
        headers: names and values as they came, in order.
        body: its bytes, in portions; raises `NotFetchedError` where they break off.
    """

    url: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: Iterator[bytes]

    def header(self, name: str) -> str | None:
        """The value of a header, by its name in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the server says so."""
        text = self.header("content-length") or ""
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def version(self) -> str | None:
        """What the server calls this state of the body by: its strong ETag, else its weak one,
        else its date."""
        return self.header("etag") or self.header("last-modified")


class Web:
    """A client. Connections stay open between requests; `close` ends them."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self._pool = httpcore.ConnectionPool(
            network_backend=GuardedNetwork(AllowedHosts(manners.private_hosts)),
            ssl_context=httpcore.default_ssl_context(),
            max_connections=8,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextlib.contextmanager
    def once(self, url: str, headers: Mapping[str, str], method: str = "GET") -> Iterator[Answer]:
        """One request, one answer, whatever it is.

        Raises:
            NotFetchedError: there was none, or it breaks off while it is read.
        """
        url = ascii_url(url)
        host = urlsplit(url).netloc
        asked = {"Host": host, "User-Agent": self.manners.user_agent, "Accept": "*/*", **headers}
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self.manners.timeout_seconds)
        with (
            _told(url),
            self._pool.stream(
                method, url, headers=list(asked.items()), extensions={"timeout": limits}
            ) as response,
        ):
            reason = response.extensions.get("reason_phrase", b"")
            yield Answer(
                url,
                response.status,
                reason.decode("latin-1"),
                tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers),
                _body(url, response),
            )

    @contextlib.contextmanager
    def ask(
        self,
        url: str,
        headers: Mapping[str, str],
        method: str = "GET",
        secret: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Iterator[Answer]:
        """The answer behind all redirects, tried again while the server is busy or does not answer.

        Args:
            secret: headers for the host that is asked, and for no other it redirects to.
            follow: redirects; else one is the answer.

        Raises:
            NotFetchedError: there is none ("no_connection", "timeout", "busy", "private_address",
                "redirects", "bad_answer").
        """
        number = 0
        while True:
            number += 1
            with contextlib.ExitStack() as stack:
                try:
                    if follow:
                        answer = self._follow(stack, url, headers, method, secret or {})
                    else:
                        sent = {**headers, **(secret or {})}
                        answer = stack.enter_context(self.once(url, sent, method))
                except NotFetchedError as error:
                    if number >= self.manners.tries or error.reason not in PASSING:
                        raise
                    wait = self.wait(number, None)
                else:
                    if answer.status not in _BUSY:
                        yield answer
                        return
                    if number >= self.manners.tries:
                        raise busy(answer, number)
                    wait = self.wait(number, answer.header("retry-after"))
            time.sleep(wait)

    def wait(self, number: int, asked: str | None) -> float:
        """Seconds to wait after a try: those the server asks for, or more with every try.

        Args:
            number: of the try, from 1.
            asked: value of `Retry-After`, seconds or a date (RFC 9110, 10.2.3).
        """
        own = self.manners.first_wait_seconds * 2.0 ** (number - 1)
        return min(max(own, retry_after(asked)), self.manners.longest_wait_seconds)

    def _follow(
        self,
        stack: contextlib.ExitStack,
        url: str,
        headers: Mapping[str, str],
        method: str,
        secret: Mapping[str, str],
    ) -> Answer:
        start = _origin(url)
        for _ in range(_MOST_REDIRECTS):
            sent = {**headers, **(secret if _origin(url) == start else {})}
            with contextlib.ExitStack() as trial:
                answer = trial.enter_context(self.once(url, sent, method))
                target = redirect_of(answer)
                if target is None:
                    stack.enter_context(trial.pop_all())
                    return answer
            url = target
        raise NotFetchedError("redirects", f"more than {_MOST_REDIRECTS} redirects")


# Reasons that may be gone at the next try.
PASSING = frozenset({"no_connection", "timeout", "bad_answer", "cut_off"})


def redirect_of(answer: Answer) -> str | None:
    """Where an answer says to go; `None` where it does not.

    Raises:
        NotFetchedError: it leads to what is no web server.
    """
    where = answer.header("location")
    if answer.status not in _REDIRECTS or not where:
        return None
    with contextlib.suppress(UnicodeDecodeError):  # headers are bytes, most of them UTF-8
        where = where.encode("latin-1").decode("utf-8")
    try:
        return ascii_url(urljoin(answer.url, where))
    except ValueError as error:
        raise NotFetchedError("redirects", f"redirected to what is no URL: {error}") from error


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def busy(answer: Answer, tries: int) -> NotFetchedError:
    """Why a server that is busy is asked no more."""
    return NotFetchedError("busy", f"{answer.status} {answer.reason} after {tries} tries".strip())


def refused(answer: Answer) -> NotFetchedError:
    """What the status of an answer means that is none to go on with."""
    reason = _REASONS.get(answer.status, "busy" if answer.status in _BUSY else "http_status")
    return NotFetchedError(reason, f"{answer.status} {answer.reason}".strip())


def retry_after(asked: str | None) -> float:
    """Seconds that a server asks to wait; 0 where it asks for none, or says nothing readable."""
    text = (asked or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def limited(
    body: Iterator[bytes], most_bytes: int, most_seconds: float, now: Callable[[], float]
) -> Iterator[bytes]:
    """A body, up to a number of bytes and of seconds.

    Raises:
        NotFetchedError: there is more ("too_large"), or it goes on for longer ("too_slow").
    """
    size, end = 0, now() + most_seconds
    for chunk in body:
        size += len(chunk)
        if size > most_bytes:
            raise NotFetchedError("too_large", f"more than {most_bytes:,} bytes")
        if now() > end:
            raise NotFetchedError("too_slow", f"not all there after {most_seconds:g} s")
        yield chunk


def _body(url: str, response: httpcore.Response) -> Iterator[bytes]:
    with _told(url):
        yield from response.iter_stream()


# Subclasses first.
_TOLD: Sequence[tuple[type[Exception], str]] = (
    (httpcore.TimeoutException, "timeout"),
    (httpcore.RemoteProtocolError, "cut_off"),
    (httpcore.LocalProtocolError, "bad_answer"),
    (httpcore.ConnectError, "no_connection"),
    (httpcore.NetworkError, "cut_off"),
    (httpcore.UnsupportedProtocol, "redirects"),
)


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Errors of the connection, as why there is no answer."""
    try:
        yield
    except tuple(kind for kind, _ in _TOLD) as error:
        reason = next(reason for kind, reason in _TOLD if isinstance(error, kind))
        said = str(error) or type(error).__name__
        raise NotFetchedError(reason, f"{urlsplit(url).hostname}: {said}") from error
