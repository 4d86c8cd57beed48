"""Texts of evaluation sets, read from JSONL, CSV or plain text files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.corpus.source.delimited import DELIMITERS, delimited_rows, records
from llm.corpus.source.json_text import DuplicateFieldError, parse_json
from llm.corpus.source.streams import DamagedStreamError, bare_name, lines, whole
from llm.errors import ExpectedError

_LONGEST_LINE = 1 << 24  # of a CSV
_SURROGATE = re.compile("[\ud800-\udfff]")


class EvaluationFileError(ExpectedError, ValueError):
    """An evaluation file cannot be read as what its name says; names file, line and field."""


@dataclass(frozen=True)
class EvaluationItem:
    """One question of an evaluation set.

    Attributes:
        name: "<file>:<line or row>", where a person finds it.
        texts: of its fields; texts are never joined, so that no n-gram crosses two.
    """

    name: str
    texts: tuple[str, ...]


def read_items(path: Path, name: str, fields: Sequence[str]) -> Iterator[EvaluationItem]:
    """The items of one file, in its order.

    Args:
        path: JSONL (.jsonl, .ndjson), JSON holding a list (.json), CSV or TSV (with a header
            where `fields` names some), or text, an item a line that is not blank (.txt); each also
            compressed (.gz, .zst).
        name: the file's name in messages and items.
        fields: fields to look into; a dot goes down into an object ("choices.text"). Empty:
            every string of the record. Text files have none.

    Raises:
        EvaluationFileError: unknown ending, broken record, missing field, not UTF-8, damaged when
            compressed, or (after the last item) without any text.
    """
    empty = True
    for item in _items(path, name, fields):
        empty = empty and not any(text.strip() for text in item.texts)
        yield item
    if empty:
        raise EvaluationFileError(
            f"{name}: no item in it, so nothing would be looked for; get the whole file, correct "
            "fields, or take it off the paths"
        )


def _items(path: Path, name: str, fields: Sequence[str]) -> Iterator[EvaluationItem]:
    kind = _kind(path, name)
    try:
        if kind in ("csv", "tsv"):
            yield from _read_delimited(path, name, f".{kind}", fields)
        elif kind == "text":
            for where, line in _lines(path, name):
                yield EvaluationItem(where, (line.strip(),))
        else:
            for where, record in read_records(path, name):
                yield EvaluationItem(where, tuple(_texts(record, fields, where)))
    except DamagedStreamError as error:
        raise _broken(name, error) from error


def read_records(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, record) of a file of JSON: objects, a line each or in one list.

    Args:
        path: JSONL (.jsonl, .ndjson) or JSON (.json); each also compressed (.gz, .zst).
        name: the file's name in messages and places.

    Raises:
        EvaluationFileError: it is no such file, or a record in it is no object.
    """
    kind = _kind(path, name)
    if kind not in ("jsonl", "json"):
        raise EvaluationFileError(f"{name}: items with fields are JSON: .jsonl, .ndjson or .json")
    try:
        for where, record in _json_list(path, name) if kind == "json" else _records(path, name):
            if not isinstance(record, dict):
                raise EvaluationFileError(
                    f"{where}: a {type(record).__name__} instead of an object with fields"
                )
            yield where, record
    except DamagedStreamError as error:
        raise _broken(name, error) from error


def _broken(name: str, error: DamagedStreamError) -> EvaluationFileError:
    return EvaluationFileError(f"{name}: {error.cause}; get the whole file")


def _read_delimited(
    path: Path, name: str, ending: str, fields: Sequence[str]
) -> Iterator[EvaluationItem]:
    """Rows with all their cells, the first line's among them: not every file has a header, and
    the names in one give no n-gram worth the name. Or, of a file with a header, some cells."""
    rows = delimited_rows(path, DELIMITERS[ending], _LONGEST_LINE)
    with_records = records(rows) if fields else ((row, {}) for row in rows)
    for row, record in with_records:
        where = f"{name}:{row.line}"
        if record is None or row.problem:
            raise EvaluationFileError(f"{where}: {row.detail}")
        texts = tuple(_texts(record, fields, where)) if fields else row.cells
        if any(_SURROGATE.search(text) for text in texts if not text.isascii()):
            raise EvaluationFileError(f"{where}: not UTF-8, as evaluation files are")
        yield EvaluationItem(where, texts)


def _kind(path: Path, name: str) -> str:
    kinds = {
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".json": "json",
        ".csv": "csv",
        ".tsv": "tsv",
        ".txt": "text",
    }
    ending = Path(bare_name(path.name)).suffix
    if ending not in kinds:
        known = ", ".join(sorted(kinds))
        raise EvaluationFileError(
            f"{name}: evaluation files end in {known} (or these and .gz or .zst)"
        )
    return kinds[ending]


def _lines(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """(place, text) of the lines that are not blank."""
    for number, line, _ in lines(path, sys.maxsize):
        if line.strip():
            where = f"{name}:{number}"
            yield where, _decode(line, where)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationFileError(
            f"{where}: not UTF-8, as evaluation files are: {error.reason} at byte {error.start}"
        ) from error


def _parse(text: str, where: str) -> Any:
    try:
        return parse_json(text)
    except DuplicateFieldError as error:
        raise EvaluationFileError(f"{where}: {error}; remove one") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationFileError(f"{where}: not JSON: {error}") from error


def _records(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    for where, line in _lines(path, name):
        yield where, _parse(line, where)


def _json_list(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    found = _parse(_decode(whole(path, sys.maxsize) or b"", name), name)
    if not isinstance(found, list):
        raise EvaluationFileError(f"{name}: a .json file holds a list of objects")
    for number, record in enumerate(found, 1):
        yield f"{name}:{number}", record


def _texts(record: dict[str, Any], fields: Sequence[str], where: str) -> Iterator[str]:
    if not fields:
        yield from _strings(record)
        return
    for field in fields:
        value: Any = record
        for step in field.split("."):
            if not isinstance(value, dict) or step not in value:
                known = ", ".join(record)
                raise EvaluationFileError(f"{where}: no field {field!r}; the record has {known}")
            value = value[step]
        yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, in order; numbers and the like have no n-grams."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
