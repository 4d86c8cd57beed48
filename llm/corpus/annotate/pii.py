"""Personal data a pattern can find: e-mail addresses and IPv4 addresses.

Tables get counts alone. An IPv4 match is four numbers from 0 to 255 with no
digit or dot at either side; a four-part version number looks the same and is
counted, `1.2.3.4.5` is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# RFC 5322 dot-atoms at a host name with a letters-only top-level domain.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Bounded to the 64 characters a local part may have, so that a run of atoms costs linear time.
_LOCAL = re.compile(rf"(?:{_ATOM}|(?<={_ATOM})\.(?={_ATOM}))+\Z")
_HOST = re.compile(rf"(?:{_LABEL}\.)+[A-Za-z]{{2,24}}(?![A-Za-z0-9-])")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9.]){_OCTET}(?:\.{_OCTET}){{3}}(?![0-9]|\.[0-9])")
_LOCAL_LIMIT = 64


class PiiCounts(NamedTuple):
    """Occurrences in one text, repeated ones counted again."""

    email_count: int
    ipv4_count: int


@dataclass(frozen=True)
class PiiMatch:
    """Where personal data stands in a text: characters [start, end), which are `content`."""

    start: int
    end: int
    content: str


def pii_counts(text: str) -> PiiCounts:
    """How many e-mail and IPv4 addresses `text` holds."""
    emails = sum(1 for _ in _emails(text)) if "@" in text else 0
    return PiiCounts(emails, sum(1 for _ in _IPV4.finditer(text)))


def pii_matches(text: str) -> list[PiiMatch]:
    """The e-mail and IPv4 addresses in `text`, from the first to the last."""
    spans = [*_emails(text), *(found.span() for found in _IPV4.finditer(text))]
    return [PiiMatch(start, end, text[start:end]) for start, end in sorted(spans)]


def _emails(text: str) -> Iterator[tuple[int, int]]:
    # Anchored at each "@" and read outwards: linear where one pattern from the left is quadratic.
    at = text.find("@")
    while at >= 0:
        first = max(0, at - _LOCAL_LIMIT)
        host = _HOST.match(text, at + 1)
        local = _LOCAL.search(text[first:at]) if host else None
        if host and local:
            yield first + local.start(), host.end()
        at = text.find("@", at + 1)
