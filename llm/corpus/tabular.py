"""Rows of Parquet and JSONL files as pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.identity import content_url
from llm.corpus.records import Page, Record, Rejected, Removed
from llm.corpus.streams import DamagedStreamError, lines

_ROWS = 256
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_LEAST = {pa.int64(): -(2**63), pa.int32(): -(2**31)}
_MOST = {pa.int64(): 2**63 - 1, pa.int32(): 2**31 - 1}
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # seconds since 1970


@dataclass(frozen=True)
class Fields:
    """Which fields of a row mean what; an empty name means there is none.

    Attributes:
        text: the text, or the HTML when `content_type` says so.
        url, id: what names the row: its URL, else its id, else its content.
        date: when it was fetched, ISO 8601 or a timestamp.
        license: the row's own licence.
    """

    text: str
    url: str
    id: str
    date: str
    license: str
    content_type: str


def read_jsonl(path: Path, name: str, fields: Fields, limit: int) -> Iterator[Record]:
    """Every line that is not blank, in order.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a line.
    """
    try:
        for number, line, length in lines(path, limit):
            where = f"{name}, line {number}"
            if length > limit:
                detail = f"{where}: {length} bytes, the limit is {limit}"
                yield Rejected("too_large", name, line, detail)
            elif line.strip():
                yield _parsed(line, where, name, fields, number, limit)
    except DamagedStreamError as error:
        reason = "truncated_file" if error.cut else "bad_record"
        detail = f"{name}, byte {error.offset}: {error.cause}"
        yield Rejected(reason, name, f"{reason}@{error.offset}".encode(), detail)


def _parsed(line: bytes, where: str, name: str, fields: Fields, number: int, limit: int) -> Record:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Rejected("undecodable", name, line, f"{where}: not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Rejected("malformed_json", name, line, f"{where}: {error}")
    if not isinstance(row, dict):
        detail = f"{where}: a {type(row).__name__}, expected an object"
        return Rejected("malformed_json", name, line, detail)
    return _row(row, line, where, name, fields, number, limit)


def read_parquet(path: Path, name: str, fields: Fields, limit: int) -> Iterator[Record]:
    """Every row in order; only the columns that `fields` names are read."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            wanted = (fields.text, fields.url, fields.id, fields.date, fields.license)
            columns = [column for column in wanted if column and column in present]
            if fields.text not in present:
                detail = f"{name}: no column {fields.text!r}; it has {', '.join(present)}"
                yield Rejected("missing_field", name, b"", detail)
                return
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
                for row in _with_dates_of_people(batch).to_pylist():
                    number += 1
                    where = f"{name}, row {number}"
                    key = repr(sorted(row.items())).encode("utf-8", "surrogatepass")
                    yield _row(row, key, where, name, fields, number, limit)
    except (pa.ArrowException, OSError) as error:
        detail = f"{name}, after row {number}: {error}"
        reason = "bad_record" if number else "not_parquet"
        yield Rejected(reason, name, f"{reason}@{number}".encode(), detail)


def _with_dates_of_people(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with nulls for dates outside the years 1 to 9999, which Python has none for: most
    are of another unit than the column says. Timestamps become UTC's, else a zone could push the
    last second of those years out of them."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            unit, a_unit = field.type.unit, _TICKS[field.type.unit]
            plain = pa.timestamp(unit, "UTC" if field.type.tz else None)
            ticks, bounds = pa.int64(), (_YEAR_1 * a_unit, _YEAR_10000 * a_unit)
        elif pa.types.is_date(field.type):
            plain = pa.date32()
            ticks, bounds = pa.int32(), (_YEAR_1 // _DAY, _YEAR_10000 // _DAY)
        else:
            continue
        column = batch.column(place)
        if pa.types.is_date64(field.type):
            column = pc.divide(column.cast(pa.int64()), _DAY * 1000).cast(pa.int32(), safe=False)
        count = column.cast(ticks)
        first, beyond = (min(max(bound, _LEAST[ticks]), _MOST[ticks]) for bound in bounds)
        sound = pc.and_(pc.greater_equal(count, first), pc.less(count, beyond))
        kept = pc.if_else(sound, count, pa.scalar(None, ticks)).cast(plain)
        batch = batch.set_column(place, field.with_type(plain), kept)
    return batch


def _row(
    row: Mapping[str, Any],
    key: bytes,
    where: str,
    name: str,
    fields: Fields,
    number: int,
    limit: int,
) -> Record:
    text = row.get(fields.text)
    if text is None:
        known = ", ".join(sorted(map(str, row))) or "no field"
        detail = f"{where}: no {fields.text!r}; it has {known}"
        return Rejected("missing_field", name, key, detail)
    if isinstance(text, bytes):
        payload, charset = text, None
    elif isinstance(text, str):
        # JSON can spell lone surrogates, which are no text.
        try:
            payload, charset = text.encode(), "utf-8"
        except UnicodeEncodeError as error:
            detail = f"{where}: {fields.text!r} holds a lone surrogate at {error.start}"
            return Rejected("undecodable", name, key, detail)
    else:
        detail = f"{where}: {fields.text!r} is {type(text).__name__}, expected text"
        return Rejected("wrong_type", name, key, detail)
    url = _url(row, fields, payload)
    if not payload.strip():
        return Removed("empty_body", url, key, where)
    if len(payload) > limit:
        detail = f"{where}: {len(payload)} bytes, the limit is {limit}"
        return Rejected("too_large", url, key, detail)
    fetched = _date(row.get(fields.date)) if fields.date else None
    terms = row.get(fields.license) if fields.license else None
    return Page(
        url,
        fetched,
        fields.content_type,
        charset,
        payload,
        number,
        license=str(terms).encode("utf-8", "replace").decode() if terms else None,
    )


def _url(row: Mapping[str, Any], fields: Fields, payload: bytes) -> str:
    url = row.get(fields.url) if fields.url else None
    if isinstance(url, str) and url.strip():
        return url.strip().encode("utf-8", "replace").decode()
    identifier = row.get(fields.id) if fields.id else None
    if isinstance(identifier, (str, int)) and str(identifier):
        return f"id:{identifier}".encode("utf-8", "replace").decode()
    return content_url(payload)


def _date(value: object) -> datetime | None:
    """A row's date in UTC; `None` for what is none (a missing date costs no document)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:  # the first or the last day there is, elsewhere on Earth
        return None
