"""Counts of personal data a pattern can find: e-mail addresses and IPv4 addresses.

Only counts leave this module. An IPv4 match is four numbers from 0 to 255 with no
digit or dot at either side; a four-part version number looks the same and is
counted, `1.2.3.4.5` is not.
"""

from __future__ import annotations

import re
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


def pii_counts(text: str) -> PiiCounts:
    """How many e-mail and IPv4 addresses `text` holds."""
    return PiiCounts(_emails(text) if "@" in text else 0, _addresses(text))


def _emails(text: str) -> int:
    # Anchored at each "@" and read outwards: linear where one pattern from the left is quadratic.
    found, at = 0, text.find("@")
    while at >= 0:
        host = _HOST.match(text, at + 1)
        if host and _LOCAL.search(text[max(0, at - _LOCAL_LIMIT) : at]):
            found += 1
        at = text.find("@", at + 1)
    return found


def _addresses(text: str) -> int:
    return sum(1 for _ in _IPV4.finditer(text))
