"""Which reader a file of a source is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.source.files import file_url, read_html_file, read_text_file
from llm.corpus.source.records import Record, Rejected, Removed
from llm.corpus.source.rows import Fields, read_jsonl, read_parquet
from llm.corpus.source.streams import bare_name, is_blank
from llm.errors import ExpectedError

# Kinds whose records carry URLs of their own, so that two files can hold the same capture.
REPEATING_KINDS = frozenset({"warc", "parquet", "jsonl"})
_ENDINGS = {
    "warc": (".warc", ".arc", ".wet", ".wat", ".wacz"),
    "parquet": (".parquet",),
    "jsonl": (".jsonl", ".ndjson"),
    "html": (".html", ".htm", ".xhtml"),
    "text": (".txt", ".md", ".rst"),
}


class UnknownKindError(ExpectedError, ValueError):
    """The ending of a file does not say what it is."""


@dataclass(frozen=True)
class Origin:
    """What is known of a source.

    Attributes:
        name: of the source.
        kind: "warc", "parquet", "jsonl", "html", "text", or "auto" (the ending says it); of what
            is no file, "pydocs".
        text_field, url_field, id_field, date_field, license_field: of rows; empty for none.
        row_type: media type of rows.
        license: of records that state none themselves.
    """

    name: str
    kind: str
    text_field: str
    url_field: str
    id_field: str
    date_field: str
    license_field: str
    row_type: str
    license: str


def kind_of(name: str, kind: str) -> str:
    """What a file is: `kind`, or for "auto" what its ending says.

    Raises:
        UnknownKindError: the ending says nothing.
    """
    if kind != "auto":
        return kind
    bare = bare_name(name)
    for known, endings in _ENDINGS.items():
        if bare.endswith(endings):
            return known
    raise UnknownKindError(
        f"the ending of {name!r} does not say what it is; "
        f"set `kind` ({', '.join(_ENDINGS)}) or narrow the glob"
    )


def read_records(path: Path, name: str, origin: Origin, limit: int) -> Iterator[Record]:
    """Every record of one file, in order.

    There is at least one: a file of nothing is a record of nothing, so that none goes unseen.

    Args:
        name: relative to the source; `path` enters no identity.
        limit: most bytes of a page.
    """
    kind, found = kind_of(name, origin.kind), False
    for record in _read(path, name, kind, origin, limit):
        found = True
        yield record
    if not found:
        yield _reject_empty(path, name, kind)


def _reject_empty(path: Path, name: str, kind: str) -> Record:
    """What a file is of which its reader made no record."""
    if kind == "parquet":
        return Removed("empty_file", name, b"", f"{name}: a table of no rows")
    if is_blank(path):
        return Removed("empty_file", name, b"", f"{name}: nothing, or nothing but line ends")
    return Rejected(
        "no_record", name, b"", f"{name}: not empty, and no record of kind {kind} in it"
    )


def _read(path: Path, name: str, kind: str, origin: Origin, limit: int) -> Iterator[Record]:
    if kind == "warc":
        from llm.corpus.source.archives import read_archive  # a dozen modules: only to read one

        return read_archive(path, name, limit)
    if kind in ("html", "text"):
        read = read_html_file if kind == "html" else read_text_file
        return read(path, name, file_url(origin.name, name), limit)
    fields = Fields(
        text=origin.text_field,
        url=origin.url_field,
        id=origin.id_field,
        date=origin.date_field,
        license=origin.license_field,
        content_type=origin.row_type,
    )
    return (read_jsonl if kind == "jsonl" else read_parquet)(path, name, fields, limit)
