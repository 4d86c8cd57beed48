"""Which pages are asked to be left out: lists of URLs, domains and doc_ids, and what they match.

A list is a CSV or TSV file with a header (columns `url`, `domain`, `doc_id`, or `entry` for any of
the three; others are for people) or a text file, an entry a line, "#" before a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llm.corpus.sites.addresses import normalised
from llm.corpus.source.delimited import delimited_rows, delimiter_of
from llm.corpus.source.streams import DamagedStreamError, lines
from llm.errors import ExpectedError

DOC_ID, URL, DOMAIN = "doc_id", "url", "domain"
_ANY = "entry"
_COLUMNS = (_ANY, URL, DOMAIN, DOC_ID)
_LONGEST_LINE = 1 << 16
_SHOWN = 80
_IS_DOC_ID = re.compile(r"[0-9a-f]{32}")
# A host and its port look like a scheme; of schemes without slashes those that rows are known by.
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}://|id:|urn:", re.IGNORECASE)
_PORT = re.compile(r":[0-9]+$")
# A URL as almost all are, whose host is read at once: no user, no port but a number.
_PLAIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]*)(?::[0-9]*)?(?:[/?#]|\Z)")
_IS_DOMAIN = re.compile(r"(?!-)[\w-]+(\.[\w-]+)*")


class OptOutFileError(ExpectedError, ValueError):
    """A list of pages to leave out cannot be read, or an entry is none; names file and line."""


@dataclass(frozen=True)
class Entry:
    """One thing to leave out.

    Attributes:
        kind: "url", "domain" (with all below it) or "doc_id".
        text: as pages are compared with it: of a URL its normalised address, where it has one.
    """

    kind: str
    text: str


def parse_entry(text: str, kind: str = "") -> Entry:
    """The entry that a text spells.

    Args:
        kind: what it has to be; empty = what it looks like.

    Raises:
        ValueError: it is neither URL nor domain nor doc_id, or not of that kind.
    """
    text = text.strip()
    found = _parsed(text)
    if found is None or (kind and found.kind != kind):
        what = {URL: "a URL", DOMAIN: "a domain", DOC_ID: "a doc_id of 32 hex digits"}
        wanted = what.get(kind, "a URL, a domain or a doc_id of 32 hex digits")
        raise ValueError(f"{text[:_SHOWN]!r} is not {wanted}")
    return found


def spelled(entry: Entry) -> str:
    """A text that `parse_entry` makes the entry of."""
    if entry.kind == URL and not _HAS_SCHEME.match(entry.text):
        return f"https://{entry.text}"
    return entry.text


def _parsed(text: str) -> Entry | None:
    if not text or any(character.isspace() for character in text):
        return None
    if _IS_DOC_ID.fullmatch(text.lower()):
        return Entry(DOC_ID, text.lower())
    if _HAS_SCHEME.match(text):
        return Entry(URL, _address(text))
    host, slash, path = text.partition("/")
    domain = _PORT.sub("", host).lower().removeprefix("*.").strip(".").removeprefix("www.")
    if not _IS_DOMAIN.fullmatch(domain):
        return None
    return Entry(URL, _address(f"https://{text}")) if slash and path else Entry(DOMAIN, domain)


def _address(url: str) -> str:
    """What a page of that URL is known by; the URL itself where it names no host."""
    found = normalised(url)
    return found.address if found is not None else url


def read_opt_outs(path: Path, name: str) -> list[Entry]:
    """The entries of one list, in order.

    Args:
        name: of the file, for messages.

    Raises:
        OptOutFileError: it cannot be read, has no column to read, or an entry is none.
    """
    delimiter = delimiter_of(name)
    try:
        found = _of_lines(path) if delimiter is None else _of_rows(path, delimiter)
        return list(found)
    except (DamagedStreamError, UnicodeDecodeError, OSError) as error:
        raise OptOutFileError(f"{name}: cannot be read: {error}") from error
    except ValueError as error:
        raise OptOutFileError(f"{name}, {error}; correct or remove it") from error


def _of_lines(path: Path) -> Iterator[Entry]:
    for number, line, _ in lines(path, _LONGEST_LINE):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        if text and not text.startswith("#"):
            try:
                yield parse_entry(text)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


def _of_rows(path: Path, delimiter: str) -> Iterator[Entry]:
    columns: list[tuple[int, str]] = []
    for number, row in enumerate(delimited_rows(path, delimiter, _LONGEST_LINE)):
        if row.problem:
            raise ValueError(f"line {row.line}: {row.problem} ({row.detail})")
        if not number:
            names = [cell.strip().lower() for cell in row.cells]
            columns = [(place, name) for place, name in enumerate(names) if name in _COLUMNS]
            if not columns:
                raise ValueError(f"line 1: no column is called {', '.join(_COLUMNS)}")
            continue
        for place, column in columns:
            if place < len(row.cells) and row.cells[place].strip():
                try:
                    yield parse_entry(row.cells[place], "" if column == _ANY else column)
                except ValueError as error:
                    raise ValueError(f"line {row.line}: {error}") from error


class OptOuts:
    """Entries, ready to be held against pages."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._doc_ids: set[str] = set()
        self._domains: set[str] = set()
        self._addresses: set[str] = set()
        for entry in entries:
            kinds = {DOC_ID: self._doc_ids, DOMAIN: self._domains, URL: self._addresses}
            kinds[entry.kind].add(entry.text)
        # Of 100,000 pages few are of a host with an entry: only theirs are normalised.
        self._hosts = {re.split("[/:?#]", address, maxsplit=1)[0] for address in self._addresses}

    @property
    def doc_ids(self) -> frozenset[str]:
        """The pages that are named by their ids."""
        return frozenset(self._doc_ids)

    def __len__(self) -> int:
        return len(self._doc_ids) + len(self._domains) + len(self._addresses)

    def matches(
        self, doc_ids: Sequence[str], urls: Sequence[str | None]
    ) -> Iterator[tuple[int, Entry]]:
        """The pages that are to be left out, by their place, each with the entry that says so.

        Args:
            urls: of the same pages.
        """
        for place, (doc_id, url) in enumerate(zip(doc_ids, urls, strict=True)):
            found = self._match(doc_id, url)
            if found is not None:
                yield place, found

    def _match(self, doc_id: str, url: str | None) -> Entry | None:
        if doc_id in self._doc_ids:
            return Entry(DOC_ID, doc_id)
        if not url or not (self._domains or self._addresses):
            return None
        if url in self._addresses:
            return Entry(URL, url)
        host = _host(url)
        if host in self._hosts and (address := _address(url)) in self._addresses:
            return Entry(URL, address)
        while host:
            if host in self._domains:
                return Entry(DOMAIN, host)
            host = host.partition(".")[2]
        return None


def _host(url: str) -> str:
    """Lower case, without `www.`, user and port; "" where there is none."""
    plain = _PLAIN.match(url)
    if plain is not None:
        return plain[1].rstrip(".").removeprefix("www.")
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    return (host or "").rstrip(".").removeprefix("www.")
