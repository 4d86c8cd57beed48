"""The records of a file as one table, in order, and what becomes of them as tables of a fate each.

Which of equal captures is kept is known when every file has been read. So a file is read to a table
of all its records, which can wait, and that is divided then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from llm.corpus.identity import doc_id
from llm.corpus.source.open import Origin
from llm.corpus.source.pages import PAGES, page_row
from llm.corpus.source.records import Page, Record, Rejected, Removed
from llm.tables import DOC_ID, REJECTED, REMOVED

_ROWS, _BYTES = 512, 16 << 20  # of a table: memory is bounded by one
_PAGE, _REMOVED, _REJECTED = range(3)
_OUTPUTS = (
    ("pages", _PAGE, PAGES),
    ("removed", _REMOVED, REMOVED),
    ("rejected", _REJECTED, REJECTED),
)
_REPEATED, OPTED_OUT = "repeated_capture", "opted_out"
# Of a page the columns of `PAGES`, of another record its reason; the rest is null.
RECORDS = pa.schema(
    [
        pa.field("fate", pa.int8(), nullable=False),
        DOC_ID,
        *(field.with_nullable(True) for field in PAGES if field.name != "doc_id"),
        pa.field("mended", pa.bool_()),
        *(field.with_nullable(True) for field in REMOVED if field.name != "doc_id"),
    ]
)

CAPTURED = pa.schema([RECORDS.field("doc_id"), RECORDS.field("fetched_at")])
# Of pages: what tells whether somebody asks to leave one out.
ADDRESSES = pa.schema([RECORDS.field("doc_id"), RECORDS.field("url")])


def record_tables(
    records: Iterable[Record], source: str, name: str, origin: Origin
) -> Iterator[pa.Table]:
    """Columns of `RECORDS`, a row a record, in order; a capture that the file has twice is removed.

    Args:
        name: of the file or distribution, relative to its source.
    """
    seen: set[str] = set()
    rows: list[dict[str, Any]] = []
    waiting = 0
    for record in records:
        if isinstance(record, Page):
            identity = doc_id(source, record.url, record.payload)
            if identity in seen:
                rows.append(_removed(identity, record.url, _REPEATED, _kept_from(name, name)))
            else:
                seen.add(identity)
                mended = record.mended is not None
                row = page_row(identity, name, origin, record)
                rows.append({"fate": _PAGE, "mended": mended, **row})
                waiting += len(record.payload)
        else:
            identity = doc_id(source, record.url, record.key)
            rows.append(_left_out(identity, record))
        if waiting > _BYTES or len(rows) >= _ROWS:
            yield _table(rows)
            rows, waiting = [], 0
    if rows:
        yield _table(rows)


def _kept_from(name: str, other: str) -> str:
    return f"{name}: kept from {other}"


def _left_out(identity: str, record: Removed | Rejected) -> dict[str, Any]:
    if isinstance(record, Removed):
        row = _removed(identity, record.url, record.reason, record.detail)
        return row | {"value": record.value, "threshold": record.threshold}
    return {
        "fate": _REJECTED,
        "doc_id": identity,
        "reason": record.reason,
        "detail": record.detail,
    }


def _removed(identity: str, url: str, reason: str, detail: str | None) -> dict[str, Any]:
    return {
        "fate": _REMOVED,
        "doc_id": identity,
        "url": url,
        "reason": reason,
        "detail": _located(url, detail),
    }


def _located(url: str, detail: str | None) -> str:
    return f"{url} ({detail})" if detail else url


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=RECORDS)
    except UnicodeEncodeError:  # a lone surrogate out of somebody's JSON
        return pa.Table.from_pylist([_encodable(row) for row in rows], schema=RECORDS)


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encodable(held) for name, held in value.items()}
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def captured(records: pa.Table) -> pa.Table:
    """The pages of a table of records, as columns of `CAPTURED`."""
    pages = _of_fate(records, _PAGE, ["doc_id", "fetched_at"])
    return CAPTURED.empty_table() if pages is None else pages


def addressed(records: pa.Table) -> pa.Table:
    """The pages of a table of records, as columns of `ADDRESSES`."""
    pages = _of_fate(records, _PAGE, ADDRESSES.names)
    return ADDRESSES.empty_table() if pages is None else pages


def divide(
    records: Iterable[pa.Table],
    source: str,
    name: str,
    elsewhere: Mapping[str, str],
    opted_out: Mapping[str, str],
    counts: Counter[str],
) -> Iterator[tuple[str, pa.Table]]:
    """Tables of pages, removed and rejected records, each named by its output.

    Args:
        records: tables of `RECORDS`, of one file.
        name: of the file, relative to its source.
        elsewhere: captures that another file keeps, doc_id -> `<source>/<name>` of that file.
        opted_out: pages that are to be left out, doc_id -> the entry that says so.
        counts: of records by fate, bytes and licences of pages, all by source; added to.
    """
    for table in records:
        if elsewhere or opted_out:
            table = _without(table, name, elsewhere, opted_out)
        counts[f"records:{source}"] += table.num_rows
        for output, fate, schema in _OUTPUTS:
            columns = [*schema.names, "mended"] if fate == _PAGE else schema.names
            part = _of_fate(table, fate, columns)
            if part is not None:
                counts[f"{output}:{source}"] += part.num_rows
                if fate == _PAGE:
                    _count_pages(part, source, counts)
                yield output, part.select(schema.names)


def _of_fate(table: pa.Table, fate: int, columns: list[str]) -> pa.Table | None:
    of_it = table.column("fate").to_numpy() == fate
    if not of_it.any():
        return None
    found = table.select(columns)
    return found if of_it.all() else found.filter(pa.array(of_it))


def _count_pages(pages: pa.Table, source: str, counts: Counter[str]) -> None:
    import pyarrow.compute as pc  # not before: see llm/rows.py

    counts[f"bytes:{source}"] += pc.sum(pc.binary_length(pages.column("html"))).as_py()
    counts[f"mended:{source}"] += pc.sum(pages.column("mended")).as_py()
    terms = pc.struct_field(pages.column("provenance"), "license")
    for row in terms.value_counts().to_pylist():
        counts[f"license:{source}:{row['values']}"] += row["counts"]


def _without(
    table: pa.Table, name: str, elsewhere: Mapping[str, str], opted_out: Mapping[str, str]
) -> pa.Table:
    """The captures that another file keeps are removed, also those the file has twice; and those
    that are to be left out."""
    ids = table.column("doc_id").to_pylist()
    places = [
        place
        for place, identity in enumerate(ids)
        if identity in elsewhere or identity in opted_out
    ]
    if not places:
        return table
    changed = {column: table.column(column).to_pylist() for column in ("fate", "reason", "detail")}
    fates, reasons, details = changed.values()
    urls = table.column("url").to_pylist()
    for place in places:
        identity = ids[place]
        if identity in elsewhere and (fates[place] == _PAGE or reasons[place] == _REPEATED):
            kept = elsewhere[identity].partition("/")[2]
            fates[place], reasons[place] = _REMOVED, _REPEATED
            details[place] = _located(urls[place], _kept_from(name, kept))
        elif fates[place] == _PAGE:
            fates[place], reasons[place] = _REMOVED, OPTED_OUT
            details[place] = _located(urls[place], f"{name}: asked for by {opted_out[identity]}")
    for column, values in changed.items():
        field = RECORDS.field(column)
        place = RECORDS.get_field_index(column)
        table = table.set_column(place, field, pa.array(values, field.type))
    return table
