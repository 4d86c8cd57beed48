"""Labelled texts from files of the user's: Parquet, JSON lines, CSV, plain text.

All but Parquet may be compressed (.gz, .zst). A text file is one text a line, as
in fastText's own examples; empty lines do not count. Everything streams.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.source.arrow_rows import NotUtf8
from llm.corpus.source.compressed import StreamDamage
from llm.corpus.source.delimited import delimited_rows, delimiter_of, records
from llm.corpus.source.json_text import DuplicateFieldError, parse_json
from llm.corpus.source.parquet_rows import LostRows, open_parquet, rows_and_losses
from llm.corpus.source.streams import DamagedStreamError, bare_name, lines_and_breaks
from llm.errors import ExpectedError

_JSON = (".jsonl", ".ndjson")


class LabelFieldError(ExpectedError, ValueError):
    """No row of a label file has the field the config names; lists those it has."""


class LabelFormatError(ExpectedError, ValueError):
    """A label file is of an unknown kind or cannot be decoded; names it."""


@dataclass(frozen=True)
class LabelRow:
    """One row.

    Attributes:
        number: of the row in its file, from 0; damage counts as one.
        text: `None` where the row has none.
        selected: the row meets the condition.
        problem: why the row cannot be used (`not_json`, `duplicate_field`, `not_csv`,
            `not_utf8`, `no_text`), or `damaged` for what cannot be read of a file, else `None`.
        detail: of damage, where and what.
    """

    number: int
    text: str | None
    selected: bool
    problem: str | None
    detail: str = ""


def read_label_file(
    path: Path, name: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    """The rows of one file; `where_field` empty selects all.

    Behind damage of a compressed file reading goes on with its next sound member, but in CSV: there
    nothing tells whether a line begins a row.

    Args:
        path: where the file is.
        name: what it is called in messages, its ending decides the format.

    Raises:
        LabelFieldError: no row has `text_field`, or none has `where_field`.
        LabelFormatError: unknown ending, no Parquet, or a header that names a column twice.
    """
    bare = bare_name(name)
    if bare.endswith(".parquet"):
        return _from_parquet(path, name, text_field, where_field, where_value)
    if bare.endswith(_JSON):
        return _from_json_lines(path, name, text_field, where_field, where_value)
    if delimiter := delimiter_of(name):
        return _from_delimited(path, name, delimiter, text_field, where_field, where_value)
    if bare.endswith(".txt"):
        if where_field:
            raise LabelFieldError(
                f"{name}: a text file has no fields, where_field={where_field!r} cannot apply; "
                "remove it or use JSON lines"
            )
        return _from_text(path)
    raise LabelFormatError(
        f"{name}: unknown kind of label file; use .parquet, .jsonl, .csv, .tsv or "
        ".txt (all but the first also with .gz or .zst)"
    )


def meets(value: Any, wanted: str) -> bool:
    """Whether a field's value is the one a config names, compared as text.

    Numbers compare by value (`1`, `1.0` and "1" are one), true and false regardless of case.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value is not None and str(value).lower() == wanted.lower()
    try:
        return float(value) == float(wanted)
    except ValueError:
        return False


def _from_parquet(
    path: Path, name: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    with path.open("rb") as stream:
        try:
            file = open_parquet(stream)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise LabelFormatError(f"{name}: not a readable Parquet file: {error}") from error
        present = file.schema_arrow.names
        columns = [text_field, *([where_field] if where_field else [])]
        for field in columns:
            if field not in present:
                raise _missing(name, field, present)
        for found in rows_and_losses(file, columns):
            if isinstance(found, LostRows):
                lost = f"rows {found.first - 1} to {found.last - 1}: {found.cause}"
                yield LabelRow(found.first - 1, None, True, "damaged", lost)
                continue
            number, row = found
            chosen = not where_field or meets(row[where_field], where_value)
            yield _row(number - 1, row[text_field], chosen)


def _from_json_lines(
    path: Path, name: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    met = {text_field: False, **({where_field: False} if where_field else {})}
    present: dict[str, None] = {}
    for number, raw in enumerate(_lines(path)):
        if isinstance(raw, StreamDamage):
            yield _damaged_row(number, raw)
            continue
        record, problem = _decode(raw)
        if problem or not isinstance(record, dict):
            yield LabelRow(number, None, True, problem or "not_json")
        else:
            if len(present) < 50:
                present.update(dict.fromkeys(record))
            for field in met:
                met[field] = met[field] or field in record
            chosen = not where_field or meets(record.get(where_field), where_value)
            yield _row(number, record.get(text_field), chosen)
    for field, was_met in met.items():
        if present and not was_met:
            raise _missing(name, field, list(present))


def _from_delimited(
    path: Path, name: str, delimiter: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    number = 0
    try:
        for found, record in records(delimited_rows(path, delimiter, sys.maxsize)):
            if found.problem == "duplicate_field":
                raise LabelFormatError(f"{name}:{found.line}: {found.detail}")
            if record is None:
                yield LabelRow(number, None, True, "not_csv")
            else:
                for field in (text_field, *([where_field] if where_field else [])):
                    if field not in record:
                        raise _missing(name, field, list(record))
                chosen = not where_field or _cell_meets(record[where_field], where_value)
                yield _row(number, record[text_field], chosen)
            number += 1
    except DamagedStreamError as error:
        yield _damaged_row(number, error)


def _damaged_row(number: int, damage: StreamDamage | DamagedStreamError) -> LabelRow:
    return LabelRow(number, None, True, "damaged", f"byte {damage.offset}: {damage.cause}")


def _cell_meets(cell: str, wanted: str) -> bool:
    """As `meets`; in a file of texts alone, what both sides read as a number is one."""
    try:
        return float(cell) == float(wanted)
    except ValueError:
        return meets(cell.strip(), wanted)


def _from_text(path: Path) -> Iterator[LabelRow]:
    for number, raw in enumerate(_lines(path)):
        if isinstance(raw, StreamDamage):
            yield _damaged_row(number, raw)
            continue
        try:
            yield _row(number, raw.decode("utf-8-sig"), True)
        except UnicodeDecodeError:
            yield LabelRow(number, None, True, "not_utf8")


def _decode(raw: bytes) -> tuple[Any, str | None]:
    try:
        return parse_json(raw.decode("utf-8-sig")), None
    except UnicodeDecodeError:
        return None, "not_utf8"
    except DuplicateFieldError:
        return None, "duplicate_field"
    except (ValueError, RecursionError):
        return None, "not_json"


def _row(number: int, text: Any, selected: bool) -> LabelRow:
    if isinstance(text, NotUtf8):
        return LabelRow(number, None, selected, "not_utf8")
    if not isinstance(text, str) or not text.strip():
        return LabelRow(number, None, selected, "no_text")
    # A lone surrogate, legal as an escape in JSON, is no Unicode text and fits no table.
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return LabelRow(number, None, selected, "not_utf8")
    return LabelRow(number, text, selected, None)


def _missing(name: str, field: str, present: list[str]) -> LabelFieldError:
    return LabelFieldError(
        f"{name}: no field {field!r}; it has {', '.join(map(repr, sorted(present)))}. "
        "Set text_field or where_field to one of these"
    )


def _lines(path: Path) -> Iterator[bytes | StreamDamage]:
    """Lines without their newline, those of whitespace alone left out, and what is damaged."""
    for found in lines_and_breaks(path, sys.maxsize):
        if isinstance(found, StreamDamage):
            yield found
        elif (line := found[1]).strip():
            yield line.rstrip(b"\r\n")
