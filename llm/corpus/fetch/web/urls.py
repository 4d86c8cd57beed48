"""URLs as they are sent, and as messages show them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from llm.corpus.fetch.entries import NotFetchedError

_SENT = "%/:=&~+!$,;'@()*[]|"  # left as they are


def ascii_url(url: str) -> str:
    """A URL as it is sent: without fragment, in ASCII, the host in lower case.

    Raises:
        NotFetchedError: it is none of a web server, or has a name and password in it ("bad_url").
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        name = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:  # UnicodeError too
        raise NotFetchedError("bad_url", f"{url[:200]!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise NotFetchedError(
            "bad_url", f"{shown(url)[:200]!r} is not of the form https://host/path"
        )
    place = f"[{name}]" if ":" in name else name
    path = quote(parts.path or "/", safe=_SENT)
    query = quote(parts.query, safe=_SENT + "?")
    return urlunsplit((parts.scheme, place if port is None else f"{place}:{port}", path, query, ""))


def shown(url: str) -> str:
    """A URL as messages show it: neither what logs in nor a query, which may be a signature."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "..." if parts.query else "", ""))
