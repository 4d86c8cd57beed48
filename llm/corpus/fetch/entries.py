"""What a place lists, and what came of each entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from llm.corpus.identity import doc_id
from llm.errors import ExpectedError
from llm.tables import DOC_ID

LISTED = pa.schema(
    [
        DOC_ID,
        pa.field("place", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("location", pa.string(), nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("digest", pa.string()),
        pa.field("version", pa.string()),
        pa.field("revision", pa.string()),
    ]
)
FETCHED = pa.schema(
    [
        DOC_ID,
        pa.field("place", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a place.

    Attributes:
        name: of the place; the folder of the snapshot its files lie in.
        kind: "folder", "files", "commoncrawl", "hub", "site".
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a place has.

    Attributes:
        file: of the snapshot, relative to the place's folder, that its bytes go into. Entries of
            one file follow each other as they were listed: ranges of an archive make an archive.
        location: what the place knows it by: a name, a URL.
        offset: of its first byte there; `None` = it is all of it.
        length: in bytes; `None` where the place does not say.
        digest: "sha256:<hex>", or by another algorithm of `hashlib`; `None` where the place does
            not say.
        version: what the place calls this state of its bytes by: an ETag, a commit, a digest of
            what is in them. Where it says one, equal versions are the same bytes.
        revision: of the place as a whole, a commit, at which it was listed and is to be read; it
            says nothing of these bytes.
    """

    file: str
    location: str
    offset: int | None = None
    length: int | None = None
    digest: str | None = None
    version: str | None = None
    revision: str | None = None

    def identity(self, place: str) -> str:
        """Its doc_id: the same wherever in a list it stands, and whatever its bytes are."""
        part = b"" if self.offset is None else f"{self.offset}+{self.length}".encode()
        return doc_id(place, self.location, part)


Read = Callable[[Entry], Iterator[bytes]]  # hands out the bytes of an entry, in portions


@dataclass(frozen=True, slots=True)
class Fetched:
    """An entry whose bytes are there.

    Attributes:
        offset: in the file of the snapshot, of its first byte.
        digest: "sha256:<hex>" of its bytes.
    """

    entry: Entry
    offset: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that could not be had, and why."""

    entry: Entry
    reason: str
    detail: str


class NotFetchedError(ExpectedError):
    """A reader cannot have an entry, and has tried as often as makes sense.

    Attributes:
        reason: one of few, such as "missing".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def listed_rows(place: str, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Rows of `LISTED`."""
    return [
        {
            "doc_id": entry.identity(place),
            "place": place,
            "file": entry.file,
            "location": entry.location,
            "offset": entry.offset,
            "length": entry.length,
            "digest": entry.digest,
            "version": entry.version,
            "revision": entry.revision,
        }
        for entry in entries
    ]


def fetched_row(place: str, fetched: Fetched) -> dict[str, Any]:
    """A row of `FETCHED`."""
    return {
        "doc_id": fetched.entry.identity(place),
        "place": place,
        "file": fetched.entry.file,
        "offset": fetched.offset,
        "bytes": fetched.bytes,
        "digest": fetched.digest,
    }
