"""By what address a page is known: its canonical one where that can be trusted, else its own.

Addresses are compared as RFC 3986, section 6, has it (letter case of host and escapes, dot
segments, default port), and less what does not change the page that is served: scheme, `www.`, a
slash at the end, fragments (but `#!`), the order of parameters, and those by which visitors are
tracked (courlan's list) and sessions told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SESSION = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
_SESSION_PARAMETERS = re.compile(
    r"(?:^|(?<=&))(?:phpsessid|jsessionid|sessionid|aspsessionid\w*)=[^&]*(?:&|$)",
    re.IGNORECASE,
)
# No page is known by a longer one, and expressions stay quick.
_LONGEST = 2_000


@dataclass(frozen=True)
class Address:
    """What a page is known by.

    Attributes:
        site: its host, without `www.`.
        address: normalised, without scheme: "example.org/a?b=1".
    """

    site: str
    address: str

    @property
    def is_home(self) -> bool:
        """Whether it is the site's first page."""
        return self.address == self.site


def normalised(url: str | None) -> Address | None:
    """The address of a URL; None for what has no host, or is none."""
    from courlan.clean import clean_query  # not before: it brings a client for the web

    if not url or len(url) > _LONGEST:
        return None
    try:
        parts = urlsplit(url.strip().replace(" ", "%20"))
        host, port = parts.hostname, parts.port
        if not host:
            return None
        query = clean_query(_SESSION_PARAMETERS.sub("", parts.query), strict=False)
    except ValueError:  # a bracket or a port that is none
        return None
    site = host.rstrip(".").removeprefix("www.")
    if not site:
        return None
    if port and port != _DEFAULT_PORTS.get(parts.scheme.lower()):
        site += f":{port}"
    fragment = f"#{parts.fragment}" if parts.fragment.startswith("!") else ""
    query = f"?{_escapes(query)}" if query else ""
    return Address(site, f"{site}{_path(parts)}{query}{fragment}")


def canonical(own: Address | None, url: str | None, declared: str | None) -> Address | None:
    """The address a page declares for itself, where it is one of its own site that may be true.

    Not trusted are another site, and the site's first page as that of another one.
    """
    if own is None or not declared or len(declared) > _LONGEST:
        return None
    try:
        found = normalised(urljoin(url or "", declared.strip()))
    except ValueError:
        return None
    if found is None or found.site != own.site or (found.is_home and not own.is_home):
        return None
    return found


def _path(parts: SplitResult) -> str:
    path = _escapes(_SESSION.sub("", parts.path))
    if not path:
        return ""
    return _without_dots(path).rstrip("/") if "/." in path else path.rstrip("/")


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, of a path that begins with a slash. Not by `urljoin`, to which a path with
    two slashes at the beginning is a host."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def _escapes(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(plain, text)
