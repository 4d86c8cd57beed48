"""Texts of evaluation sets, read from JSONL, CSV or plain text files."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from llm.corpus.delimited import DELIMITERS, delimited_rows, records
from llm.corpus.streams import DamagedStreamError

_LONGEST_LINE = 1 << 24  # of a CSV
_SURROGATE = re.compile("[\ud800-\udfff]")


class EvaluationFileError(ValueError):
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
            with .gz after it.
        name: the file's name in messages and items.
        fields: fields to look into; a dot goes down into an object ("choices.text"). Empty:
            every string of the record. Text files have none.

    Raises:
        EvaluationFileError: unknown ending, broken record, missing field, not UTF-8, cut gzip.
    """
    kind = _kind(path, name)
    if kind in ("csv", "tsv"):
        yield from _delimited(path, name, fields)
        return
    try:
        with _opened(path) as stream:
            if kind == "text":
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield EvaluationItem(f"{name}:{number}", (line.strip(),))
                return
            for number, record in _records(stream, kind, name):
                where = f"{name}:{number}"
                if not isinstance(record, dict):
                    raise EvaluationFileError(
                        f"{where}: a {type(record).__name__} instead of an object with fields"
                    )
                yield EvaluationItem(where, tuple(_texts(record, fields, where)))
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EvaluationFileError(
            f"{name}: {error}; evaluation files are UTF-8, whole, and .gz only if compressed"
        ) from error


def _delimited(path: Path, name: str, fields: Sequence[str]) -> Iterator[EvaluationItem]:
    """Rows with all their cells, the first line's among them: not every file has a header, and
    the names in one give no n-gram worth the name. Or, of a file with a header, some cells."""
    delimiter = DELIMITERS[f".{_kind(path, name)}"]
    rows = delimited_rows(path, delimiter, _LONGEST_LINE)
    with_records = records(rows) if fields else ((row, {}) for row in rows)
    try:
        for row, record in with_records:
            where = f"{name}:{row.line}"
            if record is None or row.problem:
                raise EvaluationFileError(f"{where}: {row.detail}")
            texts = tuple(_texts(record, fields, where)) if fields else row.cells
            if any(_SURROGATE.search(text) for text in texts if not text.isascii()):
                raise EvaluationFileError(f"{where}: not UTF-8, as evaluation files are")
            yield EvaluationItem(where, texts)
    except DamagedStreamError as error:
        raise EvaluationFileError(f"{name}: {error.cause}; get the whole file") from error


def _kind(path: Path, name: str) -> str:
    kinds = {
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".json": "json",
        ".csv": "csv",
        ".tsv": "tsv",
        ".txt": "text",
    }
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] == ".gz":
        endings.pop()
    if not endings or endings[-1] not in kinds:
        known = ", ".join(sorted(kinds))
        raise EvaluationFileError(f"{name}: evaluation files end in {known} (or these and .gz)")
    return kinds[endings[-1]]


def _opened(path: Path) -> TextIO:
    # newline="\n": a record may hold U+2028 or a carriage return.
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="\n")
    return path.open(encoding="utf-8-sig", newline="\n")


def _records(stream: TextIO, kind: str, name: str) -> Iterator[tuple[int, Any]]:
    if kind == "json":
        try:
            records = json.load(stream)
        except json.JSONDecodeError as error:
            raise EvaluationFileError(f"{name}: not JSON: {error}") from error
        if not isinstance(records, list):
            raise EvaluationFileError(f"{name}: a .json file holds a list of objects")
        yield from enumerate(records, 1)
    else:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise EvaluationFileError(f"{name}:{number}: not JSON: {error}") from error
            yield number, record


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
