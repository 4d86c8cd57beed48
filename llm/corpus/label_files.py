"""Labelled texts from files of the user's: Parquet, JSON lines, CSV, plain text.

All but Parquet may be compressed (.gz, .zst). A text file is one text a line, as
in fastText's own examples; empty lines do not count. Everything streams.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.delimited import delimited_rows, delimiter_of, records
from llm.corpus.streams import DamagedStreamError, lines

_JSON = (".jsonl", ".ndjson")


class LabelFieldError(ValueError):
    """No row of a label file has the field the config names; lists those it has."""


class LabelFormatError(ValueError):
    """A label file is of an unknown kind or cannot be decoded; names it."""


@dataclass(frozen=True)
class LabelRow:
    """One row.

    Attributes:
        number: of the row in its file, from 0.
        text: `None` where the row has none.
        selected: the row meets the condition.
        problem: why the row cannot be used (`not_json`, `not_csv`, `not_utf8`, `no_text`), else
            `None`.
    """

    number: int
    text: str | None
    selected: bool
    problem: str | None


def read_label_file(
    path: Path, name: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    """The rows of one file; `where_field` empty selects all.

    Args:
        path: where the file is.
        name: what it is called in messages, its ending decides the format.

    Raises:
        LabelFieldError: no row has `text_field`, or none has `where_field`.
        LabelFormatError: unknown ending, or the file is damaged.
    """
    bare = name.lower().removesuffix(".gz").removesuffix(".zst")
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
        return _from_text(path, name)
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
    try:
        source = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise LabelFormatError(f"{name}: not a readable Parquet file: {error}") from error
    with source:
        present = source.schema_arrow.names
        columns = [text_field, *([where_field] if where_field else [])]
        for field in columns:
            if field not in present:
                raise _missing(name, field, present)
        number = 0
        for batch in source.iter_batches(columns=columns):
            texts = batch.column(text_field).to_pylist()
            values = batch.column(where_field).to_pylist() if where_field else [None] * len(texts)
            for text, value in zip(texts, values, strict=True):
                chosen = not where_field or meets(value, where_value)
                yield _row(number, text, chosen)
                number += 1


def _from_json_lines(
    path: Path, name: str, text_field: str, where_field: str, where_value: str
) -> Iterator[LabelRow]:
    met = {text_field: False, **({where_field: False} if where_field else {})}
    present: dict[str, None] = {}
    for number, raw in enumerate(_lines(path, name)):
        record, problem = _decoded(raw)
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
        for _, record in records(delimited_rows(path, delimiter, sys.maxsize)):
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
        raise LabelFormatError(f"{name}: damaged compressed file: {error.cause}") from error


def _cell_meets(cell: str, wanted: str) -> bool:
    """As `meets`; in a file of texts alone, what both sides read as a number is one."""
    try:
        return float(cell) == float(wanted)
    except ValueError:
        return meets(cell.strip(), wanted)


def _from_text(path: Path, name: str) -> Iterator[LabelRow]:
    for number, raw in enumerate(_lines(path, name)):
        try:
            yield _row(number, raw.decode("utf-8"), True)
        except UnicodeDecodeError:
            yield LabelRow(number, None, True, "not_utf8")


def _decoded(raw: bytes) -> tuple[Any, str | None]:
    try:
        return json.loads(raw.decode("utf-8")), None
    except UnicodeDecodeError:
        return None, "not_utf8"
    except ValueError:
        return None, "not_json"


def _row(number: int, text: Any, selected: bool) -> LabelRow:
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


def _lines(path: Path, name: str) -> Iterator[bytes]:
    """Lines without their newline, those of whitespace alone left out."""
    try:
        for _, line, _ in lines(path, sys.maxsize):
            if line.strip():
                yield line.rstrip(b"\r\n")
    except DamagedStreamError as error:
        raise LabelFormatError(f"{name}: damaged compressed file: {error.cause}") from error
