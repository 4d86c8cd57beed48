"""Rows of Parquet and JSONL files as pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.identity import content_url
from llm.corpus.source.arrow_rows import NotUtf8
from llm.corpus.source.compressed import StreamDamage
from llm.corpus.source.json_text import DuplicateFieldError, parse_json
from llm.corpus.source.parquet_rows import LostRows, open_parquet, rows_and_losses
from llm.corpus.source.records import Page, Record, Rejected, Removed, readable
from llm.corpus.source.streams import lines_and_breaks

_SHOWN = 50  # fields of a row, and characters of each, in a message


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
    """Every line that is not blank, in order, and every place where the file is damaged.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a line.
    """
    for found in lines_and_breaks(path, limit):
        if isinstance(found, StreamDamage):
            reason = "truncated_file" if found.cut else "bad_record"
            detail = f"{name}, byte {found.offset}: {found.cause}"
            yield Rejected(reason, name, f"{reason}@{found.offset}".encode(), detail)
            continue
        number, line, length = found
        where = f"{name}, line {number}"
        if length > limit:
            detail = f"{where}: {length} bytes, the limit is {limit}"
            yield Rejected("too_large", name, line, detail)
        elif line.strip():
            yield _parse(line, where, name, fields, number, limit)


def _parse(line: bytes, where: str, name: str, fields: Fields, number: int, limit: int) -> Record:
    try:
        row = parse_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Rejected("undecodable", name, line, f"{where}: not UTF-8 at byte {error.start}")
    except DuplicateFieldError as error:
        return Rejected("duplicate_field", name, line, f"{where}: {error}")
    except (ValueError, RecursionError) as error:
        return Rejected("malformed_json", name, line, f"{where}: {error}")
    if not isinstance(row, dict):
        detail = f"{where}: a {type(row).__name__}, expected an object"
        return Rejected("malformed_json", name, line, detail)
    return _row(row, line, where, name, fields, number, limit)


def read_parquet(path: Path, name: str, fields: Fields, limit: int) -> Iterator[Record]:
    """Every row in order; only the columns that `fields` names are read.

    A row group that is damaged is read as far as it goes, and one `Rejected` says which of its
    rows are lost; reading goes on with the next group.
    """
    with path.open("rb") as stream:
        try:
            file = open_parquet(stream)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            yield Rejected("not_parquet", name, b"not_parquet", f"{name}: {error}")
            return
        present = file.schema_arrow.names
        if fields.text not in present:
            detail = f"{name}: no column {fields.text!r}; it has {', '.join(present)}"
            yield Rejected("missing_field", name, b"", detail)
            return
        wanted = (fields.text, fields.url, fields.id, fields.date, fields.license)
        columns = [column for column in wanted if column and column in present]
        for found in rows_and_losses(file, columns):
            if isinstance(found, LostRows):
                lost = f"rows {found.first} to {found.last} (row group {found.group})"
                key = f"bad_record@{found.first - 1}".encode()
                yield Rejected("bad_record", name, key, f"{name}, {lost}: {found.cause}")
                continue
            number, row = found
            yield _row(row, None, f"{name}, row {number}", name, fields, number, limit)


def _row(
    row: Mapping[str, Any],
    line: bytes | None,
    where: str,
    name: str,
    fields: Fields,
    number: int,
    limit: int,
) -> Record:
    def key() -> bytes:
        return line if line is not None else repr(sorted(row.items())).encode("utf-8", "replace")

    def reject(reason: str, cause: str) -> Rejected:
        return Rejected(reason, name, key(), f"{where}: {cause}")

    text = row.get(fields.text)
    if text is None:
        known = ", ".join(name[:_SHOWN] for name in sorted(map(str, row))[:_SHOWN]) or "no field"
        return reject("missing_field", f"no {fields.text!r}; it has {known}")
    if isinstance(text, NotUtf8):
        return reject("undecodable", f"{fields.text!r} is not UTF-8 at byte {text.start}")
    if isinstance(text, bytes):
        payload, charset = text, None
    elif isinstance(text, str):
        # JSON can spell lone surrogates, which are no text.
        try:
            payload, charset = text.encode(), "utf-8"
        except UnicodeEncodeError as error:
            cause = f"{fields.text!r} holds a lone surrogate at {error.start}"
            return reject("undecodable", cause)
    else:
        return reject("wrong_type", f"{fields.text!r} is {type(text).__name__}, expected text")
    url = _url(row, fields, payload)
    if not payload.strip():
        return Removed("empty_body", url, key(), where)
    if len(payload) > limit:
        detail = f"{where}: {len(payload)} bytes, the limit is {limit}"
        return Rejected("too_large", url, key(), detail)
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
    url = _name(row.get(fields.url)) if fields.url else None
    if isinstance(url, str) and url.strip():
        return url.strip().encode("utf-8", "replace").decode()
    identifier = _name(row.get(fields.id)) if fields.id else None
    if isinstance(identifier, (str, int)) and str(identifier):
        return f"id:{identifier}".encode("utf-8", "replace").decode()
    return content_url(payload)


def _name(value: object) -> object:
    return readable(value.raw) if isinstance(value, NotUtf8) else value


def _date(value: object) -> datetime | None:
    """A row's date in UTC; `None` for what is none (a missing date costs no document)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:  # the first or the last day there is, elsewhere on Earth
        return None
