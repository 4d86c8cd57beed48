"""IPv4 and IPv6 addresses.

Four numbers from 0 to 255 are also what versions and sections look like: `v1.2.3.4`,
`tool-1.2.3.4`, "version 1.2.3.4", "1.2.3.4 Installing" at the head of a line are none, nor is
`1.2.3.4.5`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from llm.corpus.annotate.pii.spans import PiiMatch, at

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![\w.=-]){_OCTET}(?:\.{_OCTET}){{3}}(?![\w-]|\.[0-9])")
_VERSION = re.compile(
    r"(?:\b(?:v|ver|version|release|released|build|firmware|revision|update|upgrade[sd]?|"
    r"section|chapter|clause|table|figure|oid|python|java|chrome|firefox|android|ios)s?[\s.:#=]{0,3}"
    r"|[A-Za-z0-9]/|[§])\Z",
    re.IGNORECASE,
)
_CUE_REACH = 24
# What such addresses have, found far faster than they are.
_DOTTED = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_SMALL = 30  # that sections are numbered to
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?![\w:])")
# What the internet gives out (RFC 4291): a name in a program that is hexadecimal begins otherwise.
_GIVEN = re.compile(r"(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe80|ff0[0-9a-f]):", re.IGNORECASE)


def ipv4(text: str) -> Iterator[PiiMatch]:
    """The addresses of version 4."""
    if not _DOTTED.search(text):
        return
    for found in _IPV4.finditer(text):
        start = found.start()
        if _VERSION.search(text[max(0, start - _CUE_REACH) : start]):
            continue
        if _heads_a_section(text, found):
            continue
        yield at(text, start, found.end(), "ipv4")


def _heads_a_section(text: str, found: re.Match[str]) -> bool:
    line = text[max(0, found.start() - 4) : found.start()]
    first = not line.rpartition("\n")[2].strip(" #*\t") and (
        "\n" in line or found.start() - len(line) == 0
    )
    rest = text[found.end() : found.end() + 3].lstrip(" \t")
    small = all(int(number) < _SMALL for number in found[0].split("."))
    spaced = text[found.end() : found.end() + 1] in (" ", "\t")
    return first and small and spaced and rest[:1].isupper()


def ipv6(text: str) -> Iterator[PiiMatch]:
    """The addresses of version 6: eight groups, or `::` for some of them."""
    if not _TWO_COLONS.search(text):
        return
    for found in _IPV6.finditer(text):
        content = found[0].rstrip(":") if not found[0].endswith("::") else found[0]
        groups = [group for group in content.split(":") if group]
        if content.count(":") < 2 or not any(map(str.isdigit, content)):
            continue
        if "::" in content and not _GIVEN.match(content) and len(groups) < 4:
            continue
        try:
            ipaddress.IPv6Address(content)
        except ValueError:
            continue
        yield at(text, found.start(), found.start() + len(content), "ipv6")
