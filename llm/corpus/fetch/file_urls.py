"""URLs of files: which can be fetched, and under which name they come."""

from __future__ import annotations

import hashlib
import posixpath
import re
from urllib.parse import unquote, urlsplit

from llm.errors import ExpectedError

WEB, BUCKET = ("http", "https"), ("s3",)
_LOGIN = re.compile(r"(?<=//)[^/]*@")
_NAMED = re.compile(r"[^.]")  # a host becomes a folder: . and .. would be others
_MAGIC = frozenset("*[")
# Parameters that make a URL a key to what it names.
_SIGNATURES = ("x-amz-signature", "x-amz-security-token", "x-goog-signature", "signature", "sig")
_TOKENS = ("token", "access_token", "auth_token", "private_token", "api_key", "apikey", "password")


class FileUrlError(ExpectedError, ValueError):
    """A URL cannot be fetched as a file; says why and what to name instead."""


def check_url(url: str) -> None:
    """Whether a URL can be one of a file to fetch.

    Raises:
        FileUrlError: it is not, or there is a secret in it, which would stand in every record.
    """
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, parts.username is not None
        _ = parts.port
    except ValueError as error:
        raise FileUrlError(f"{_shown(url)!r} is no URL: {error}") from error
    if parts.scheme not in (*WEB, *BUCKET) or not host or not _NAMED.search(host):
        raise FileUrlError(
            f"{_shown(url)!r} is not of the form https://host/path or s3://bucket/key; "
            "files of this machine are places of kind folder"
        )
    if secret or _holds_key(parts.query):
        raise FileUrlError(
            f"{parts.scheme}://{host}{parts.path}: the URL holds a password, token or signature, "
            "and would be kept with the artifact; name the file by its s3:// address, with the "
            "credentials in the environment, or put it where none is needed"
        )
    if parts.scheme in WEB and _MAGIC.intersection(parts.path):
        raise FileUrlError(f"{url!r}: a web server lists no files, so globs are for s3:// alone")
    if parts.scheme in WEB and not posixpath.basename(parts.path):
        raise FileUrlError(f"{url!r} names no file: it ends in a slash")
    name = file_name(url)
    if not name.isprintable() or "\\" in host:
        raise FileUrlError(f"{_shown(url)!r} has a character in it that no file's name should have")
    if "/" not in name.rstrip("/"):
        raise FileUrlError(f"{_shown(url)!r} names no file: its path leads nowhere")


def check_page_url(url: str) -> None:
    """Whether a URL can be where a crawl begins.

    Raises:
        FileUrlError: it cannot, or there is a secret in it, which would stand in every record.
    """
    try:
        parts = urlsplit(url)
        host, secret, _ = parts.hostname, parts.username, parts.port
    except ValueError as error:
        raise FileUrlError(f"{_shown(url)!r} is no URL: {error}") from error
    if secret is not None or _holds_key(parts.query):
        raise FileUrlError(
            f"{parts.scheme}://{host}{parts.path}: the URL holds a password, token or signature; "
            "leave it out"
        )
    if parts.scheme not in WEB or not host:
        raise FileUrlError(f"{url!r} is not of the form https://host/path")


def _holds_key(query: str) -> bool:
    """Whether one of the parameters lets whoever has the URL in."""
    names = {pair.partition("=")[0].lower() for pair in query.split("&")}
    return bool(names.intersection((*_SIGNATURES, *_TOKENS)))


def _shown(url: str) -> str:
    """A URL without what logs in and without its query, which may be a signature."""
    return _LOGIN.sub("", url.partition("?")[0])


def file_name(url: str) -> str:
    """The file of the snapshot that a URL's bytes go into: host or bucket, then the path.

    Of a URL with a query the name says which by eight digits of a digest before the ending.
    """
    parts = urlsplit(url)
    path = posixpath.normpath("/" + unquote(parts.path)).lstrip("/")
    name = f"{parts.netloc.replace(':', '_')}/{path}"
    if not parts.query or parts.scheme in BUCKET:
        return name
    folder, base = posixpath.split(name)
    stem, dot, ending = base.partition(".")
    mark = hashlib.sha256(parts.query.encode()).hexdigest()[:8]
    return f"{folder}/{stem}-{mark}{dot}{ending}"
