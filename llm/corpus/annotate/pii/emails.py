"""E-mail addresses, those with letters of other scripts too (RFC 5322, RFC 6531).

What looks alike and is none: a file name (`icon@2x.png`), where a copy lies (`git@github.com:a/b`),
who asks for a page (`https://user@host`), a version of a package (`name@1.2.3`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm.corpus.annotate.pii.spans import PiiMatch, at
from llm.corpus.words import piece_patterns

_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
# Anchored at the "@" and bounded to the 64 characters a local part may have, so that a run of
# atoms costs linear time.
_LOCAL = re.compile(rf"(?:{_ATOM}|(?<={_ATOM})\.(?={_ATOM}))+\Z")
_HOST = re.compile(rf"(?:{_LABEL}\.)+(?:xn--[a-zA-Z0-9-]{{2,59}}|[^\W\d_]{{2,24}})(?![\w-])")
# Tried first: in Chinese or Thai no blank parts an address from what follows it.
_PLAIN_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})(?![A-Za-z0-9_-]|\.[^\x00-\x7f])"
)
_LOCAL_LIMIT = 64
# Endings of files that are no top-level domains.
_FILES = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "bmp", "css", "scss", "js"),
        *("mjs", "jsx", "ts", "tsx", "json", "html", "htm", "xml", "yml", "yaml", "php", "jsp"),
        *("aspx", "exe", "dll", "woff", "woff2", "ttf", "eot", "mp3", "mp4", "pdf", "txt", "csv"),
    )
)


def emails(text: str) -> Iterator[PiiMatch]:
    """The addresses in a text, from the first to the last."""
    sign = text.find("@")
    while sign >= 0:
        first = max(0, sign - _LOCAL_LIMIT)
        host = _PLAIN_HOST.match(text, sign + 1) or _HOST.match(text, sign + 1)
        local = _LOCAL.search(text[first:sign]) if host else None
        if host and local:
            start = first + _spaced(local[0], host[0], local.start())
            if start < sign and _is_address(text, start, host):
                yield at(text, start, host.end(), "email")
        sign = text.find("@", sign + 1)


def _spaced(local: str, host: str, start: int) -> int:
    """Where the local part begins: in Chinese or Thai no blank parts it from the sentence."""
    if local.isascii() or not host.isascii():
        return start
    unspaced = piece_patterns()[0]
    ends = [found.end() for found in unspaced.finditer(local)]
    return start + (ends[-1] if ends else 0)


def _is_address(text: str, start: int, host: re.Match[str]) -> bool:
    name = host[0].lower()
    if name.rpartition(".")[2] in _FILES:
        return False
    if text[max(0, start - 3) : start].endswith("://") or text[start : start + 2] == "//":
        return False
    rest = text[host.end() : host.end() + 2]
    # A colon, then a path: what scp and git copy from.
    return not (rest[:1] == ":" and (rest[1:].isalpha() or rest[1:] in ("/", "~", "_")))
