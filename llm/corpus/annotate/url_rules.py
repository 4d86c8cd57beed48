"""What a URL alone says about a page: host, shape, and hits in block lists.

The URL rules of RefinedWeb (Penedo et al. 2023, appendix G.1): domains on a list,
and words on a list found in the address. Lists are the user's; none is built in.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from llm.corpus.source.streams import DamagedStreamError, lines
from llm.errors import ExpectedError

_NOT_WORD = re.compile(r"[\W_]+")


class BlockListError(ExpectedError, ValueError):
    """A block list cannot be read as UTF-8 text, or is damaged; names the file."""


# Listed words as tuples of the words they consist of, by their first one.
Phrases = Mapping[str, tuple[tuple[str, ...], ...]]


class UrlFacts(NamedTuple):
    """What is known from a URL.

    Attributes:
        url_host: lower-case host without port and user, `None` where the URL has none.
        url_is_ip: the host is an IPv4 or IPv6 address.
        url_length: characters of the URL.
        url_digits: ASCII digits in the URL.
        url_hyphens: hyphens in the host.
        url_blocked_domain: the host, or a domain it lies in, is on the list of domains.
        url_blocked_words: occurrences of listed words as whole words of the URL.
    """

    url_host: str | None
    url_is_ip: bool
    url_length: int
    url_digits: int
    url_hyphens: int
    url_blocked_domain: bool
    url_blocked_words: int


@dataclass(frozen=True)
class BlockLists:
    """Domains and words to look for; see `read_block_lists`.

    Attributes:
        domains: lower-case domains.
        words: listed words as tuples of the words they consist of, by their first one.
    """

    domains: frozenset[str]
    words: dict[str, tuple[tuple[str, ...], ...]]


def read_block_lists(domains: Sequence[Path], words: Sequence[Path]) -> BlockLists:
    """Read lists of one entry a line; empty lines and lines that start with `#` are skipped.

    Args:
        domains, words: files, plain, gzip or zstd.

    Raises:
        BlockListError: a file is not UTF-8, or damaged.
    """
    named = frozenset(entry.lower().strip(".") for entry in _entries(domains))
    return BlockLists(named, by_first_word(_entries(words)))


def by_first_word(entries: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Entries of a list of words as `BlockLists.words` holds them."""
    phrases = {phrase for entry in entries if (phrase := listed_words(entry))}
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for phrase in sorted(phrases):
        found[phrase[0]] = (*found.get(phrase[0], ()), phrase)
    return found


def _entries(paths: Sequence[Path]) -> Iterable[str]:
    for path in paths:
        try:
            for number, line, _ in lines(path, sys.maxsize):
                entry = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if entry and not entry.startswith("#"):
                    yield entry
        except UnicodeDecodeError as error:
            raise BlockListError(
                f"{path}, line {number}: not UTF-8 text ({error.reason} at byte {error.start}); "
                "a block list holds one entry per line"
            ) from error
        except DamagedStreamError as error:
            raise BlockListError(
                f"{path}: {error.cause} at byte {error.offset}; get the whole file"
            ) from error


def listed_words(text: str) -> tuple[str, ...]:
    """The words of a text or an address, as lists of words are compared with them."""
    return tuple(word for word in _NOT_WORD.split(unquote(text).lower()) if word)


def host_of(url: str) -> str | None:
    """The lower-case host of a URL without user, port and final dot; `None` without one."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # an unbalanced bracket: such a URL has no host
        return None
    return host.rstrip(".") or None if host else None


def url_facts(url: str, lists: BlockLists) -> UrlFacts:
    """What `url` says by itself; see `UrlFacts`. Any string is accepted."""
    host = host_of(url)
    return UrlFacts(
        url_host=host,
        url_is_ip=_is_ip(host),
        url_length=len(url),
        url_digits=sum(url.count(digit) for digit in "0123456789"),
        url_hyphens=host.count("-") if host else 0,
        url_blocked_domain=bool(lists.domains) and _is_listed(host, lists.domains),
        url_blocked_words=word_hits(listed_words(url), lists.words) if lists.words else 0,
    )


def _is_ip(host: str | None) -> bool:
    # Cheap refusal first: an address ends in a hexadecimal digit and has a dot or colon.
    if not host or host[-1] not in "0123456789abcdef":
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_listed(host: str | None, domains: frozenset[str]) -> bool:
    while host:
        if host in domains:
            return True
        host = host.partition(".")[2]
    return False


def word_hits(words: tuple[str, ...], listed: Phrases) -> int:
    """How often listed words (`BlockLists.words`) stand among these."""
    return sum(
        words[start : start + len(phrase)] == phrase
        for start, word in enumerate(words)
        for phrase in listed.get(word, ())
    )
