"""Examples out of files of the user's: JSON lines, a JSON list, CSV, or Parquet."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from llm.alignment.examples.fields import Fields, count
from llm.alignment.examples.messages import UnusableRowError
from llm.alignment.examples.shapes import (
    INSTRUCTION_SHAPES,
    PREFERENCE_SHAPES,
    THUMB_SHAPES,
    instruction,
    preference,
    rows_in,
    thumb,
)
from llm.alignment.examples.tables import (
    INSTRUCTION,
    PREFERENCE,
    THUMB,
    Dropped,
    Example,
    Kind,
    Outcome,
    opening,
)
from llm.corpus.identity import doc_id
from llm.corpus.source.arrow_rows import NotUtf8
from llm.corpus.source.compressed import StreamDamage
from llm.corpus.source.delimited import delimited_rows, delimiter_of, records
from llm.corpus.source.json_text import DuplicateFieldError, parse_json
from llm.corpus.source.parquet_rows import LostRows, open_parquet, rows_and_losses
from llm.corpus.source.streams import DamagedStreamError, bare_name, lines_and_breaks, whole
from llm.corpus.split import split_of
from llm.errors import ExpectedError

_JSON_LINES = (".jsonl", ".ndjson")
_TAKEN = {INSTRUCTION: instruction, PREFERENCE: preference, THUMB: thumb}
_SHAPES = {
    INSTRUCTION: INSTRUCTION_SHAPES,
    PREFERENCE: PREFERENCE_SHAPES,
    THUMB: THUMB_SHAPES,
}
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes of a cell that are none


class ExampleFileError(ExpectedError, ValueError):
    """A file of examples of unknown kind, or without a single usable row; names the shapes."""


@dataclass(frozen=True)
class FileSettings:
    """How files are read.

    Attributes:
        kind: what the files hold, "instruction", "preference" or "thumb".
        max_row_bytes: of a line.
        max_file_bytes: of a JSON list, which is read as a whole; decompressed.
        validation_fraction: share of openings that go to validation.
        split_seed: another holds out others.
    """

    kind: Kind
    max_row_bytes: int
    max_file_bytes: int
    validation_fraction: float
    split_seed: int


@dataclass(frozen=True)
class _Row:
    """A row or what is left of it: `record` is None where `reason` says why."""

    where: str
    raw: bytes
    record: Any
    reason: str
    detail: str


def examples_in(
    path: Path, name: str, settings: FileSettings, unread: Counter[str]
) -> Iterator[Outcome]:
    """An outcome a row, in the file's order.

    Args:
        path: where the file is; its first bytes say whether it is compressed (gzip, zstd).
        name: relative; it becomes the source, and its ending says what the file is.
        unread: gets the number of usable rows with a field that nothing was made of, by field.

    Raises:
        ExampleFileError: the ending is unknown, or no row is usable (after the last one).
    """
    used, unusable, first = 0, Counter[str](), ""
    for row in _rows(path, name, settings):
        instances = rows_in(row.record) if isinstance(row.record, dict) else [row.record]
        for place, record in enumerate(instances):
            where = f"{row.where}, instance {place + 1}" if len(instances) > 1 else row.where
            outcome = _outcome(record, row, where, name, settings, unread)
            if isinstance(outcome, Dropped):
                unusable[outcome.reason] += 1
                first = first or outcome.detail
            else:
                used += 1
            yield outcome
    if not used:
        _raise_no_usable_row(name, settings.kind, unusable, first)


def _raise_no_usable_row(name: str, kind: Kind, unusable: Counter[str], first: str) -> NoReturn:
    shapes = _SHAPES[kind]
    found = ", ".join(f"{reason} {count}" for reason, count in sorted(unusable.items()))
    why = f"none of its {unusable.total()} rows is usable ({found}; {first})" if found else "empty"
    expected = f" Files of {kind}s hold rows of one of these shapes: {shapes}."
    raise ExampleFileError(
        f"{name}: {why}.{'' if shapes in first else expected} "
        "Correct the file or take it off the list"
    )


def _outcome(
    record: Any, row: _Row, where: str, name: str, settings: FileSettings, unread: Counter[str]
) -> Outcome:
    reason, detail = row.reason, row.detail
    if not reason:
        try:
            if not isinstance(record, dict):
                kind = type(record).__name__
                raise UnusableRowError("malformed_json", f"a {kind}, expected an object")
            fields = Fields(record)
            turns = _TAKEN[settings.kind](fields)
        except UnusableRowError as error:
            reason, detail = error.reason, str(error)
        else:
            count(fields.unread, unread)
            split = split_of(opening(turns[0]), settings.split_seed, settings.validation_fraction)
            return Example(settings.kind, name, split, (), turns, where)
    # Of a row with several instances each is a row of its own.
    key = row.raw + (where.removeprefix(row.where)).encode()
    identity = doc_id(name, f"unusable {settings.kind}", key)
    return Dropped(
        settings.kind, name, "", identity, True, reason, None, None, f"{where}: {detail}"
    )


def _rows(path: Path, name: str, settings: FileSettings) -> Iterator[_Row]:
    bare = bare_name(name)
    if bare.endswith(_JSON_LINES):
        yield from _json_lines(path, name, settings.max_row_bytes)
    elif bare.endswith(".json"):
        yield from _json_list(path, name, settings.max_file_bytes)
    elif bare.endswith(".parquet"):
        yield from _parquet(path, name)
    elif delimiter := delimiter_of(name):
        yield from _table(path, name, delimiter, settings.max_row_bytes)
    else:
        raise ExampleFileError(
            f"{name}: files of examples end in .jsonl, .ndjson, .json, .csv, .tsv (these also "
            "with .gz or .zst) or .parquet; rename it or take it off the list"
        )


def _json_lines(path: Path, name: str, limit: int) -> Iterator[_Row]:
    for found in lines_and_breaks(path, limit):
        if isinstance(found, StreamDamage):
            yield _damaged_row(name, found)
            continue
        number, line, length = found
        where = f"{name}:{number}"
        if length > limit:
            detail = f"{length} bytes, the limit is {limit} (max_row_bytes)"
            yield _Row(where, line, None, "too_large", detail)
        elif line.strip():
            yield _parse(where, line)


def _parse(where: str, raw: bytes) -> _Row:
    try:
        return _Row(where, raw, parse_json(raw.decode("utf-8-sig")), "", "")
    except UnicodeDecodeError as error:
        return _Row(where, raw, None, "undecodable", f"not UTF-8 at byte {error.start}")
    except DuplicateFieldError as error:
        return _Row(where, raw, None, "duplicate_field", str(error))
    except (ValueError, RecursionError) as error:
        return _Row(where, raw, None, "malformed_json", str(error))


def _json_list(path: Path, name: str, limit: int) -> Iterator[_Row]:
    try:
        data = whole(path, limit)
    except DamagedStreamError as error:
        yield _damaged_row(name, error)
        return
    if data is None:
        detail = f"more than {limit} bytes (max_file_bytes); keep it as JSON lines"
        yield _Row(name, b"", None, "too_large", detail)
        return
    found = _parse(name, data)
    if found.reason or not isinstance(found.record, list):
        yield _Row(name, data, None, found.reason or "malformed_json", found.detail or "no list")
        return
    for number, record in enumerate(found.record, 1):
        yield _Row(f"{name}:{number}", _bytes(record), record, "", "")


def _table(path: Path, name: str, delimiter: str, limit: int) -> Iterator[_Row]:
    """Rows of a file whose first line names the fields; an empty cell is a field not there."""
    try:
        for row, cells in records(delimited_rows(path, delimiter, limit)):
            where = f"{name}:{row.line}"
            if cells is None:
                yield _Row(where, row.raw, None, row.problem, row.detail)
            elif bad := next((f for f, cell in cells.items() if _NOT_UTF8.search(cell)), None):
                yield _Row(where, row.raw, None, "undecodable", f"{bad!r} is not UTF-8")
            else:
                filled = {field: cell or None for field, cell in cells.items()}
                yield _Row(where, row.raw, filled, "", "")
    except DamagedStreamError as error:
        yield _damaged_row(name, error)


def _parquet(path: Path, name: str) -> Iterator[_Row]:
    with path.open("rb") as stream:
        try:
            file = open_parquet(stream)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            yield _Row(name, b"not_parquet@0", None, "not_parquet", str(error))
            return
        for found in rows_and_losses(file, None):
            if isinstance(found, LostRows):
                where = f"{name}:{found.first} to {found.last} (row group {found.group})"
                key = f"bad_record@{found.first - 1}".encode()
                yield _Row(where, key, None, "bad_record", found.cause)
                continue
            number, record = found
            where, raw = f"{name}:{number}", _bytes(record)
            bad = next((f for f, value in record.items() if isinstance(value, NotUtf8)), None)
            if bad is None:
                yield _Row(where, raw, record, "", "")
            else:
                detail = f"{bad!r} is not UTF-8 at byte {record[bad].start}"
                yield _Row(where, raw, None, "undecodable", detail)


def _damaged_row(name: str, error: StreamDamage | DamagedStreamError) -> _Row:
    reason = "truncated_file" if error.cut else "bad_record"
    where = f"{name}, byte {error.offset}"
    return _Row(where, f"{reason}@{error.offset}".encode(), None, reason, error.cause)


def _bytes(record: Any) -> bytes:
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, default=str)
    return text.encode("utf-8", "surrogatepass")
