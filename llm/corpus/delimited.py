"""Rows of CSV and TSV files (RFC 4180): examples, labels and evaluation items come in these too."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.streams import bare_name, lines

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BOM = "\ufeff"
# The module's own limit, 128 KiB, is less than a passage; it holds for the whole process.
_LONGEST_FIELD = 1 << 24


@dataclass(frozen=True)
class DelimitedRow:
    """A record of a file.

    Attributes:
        line: on which it ends, from 1.
        raw: its bytes, line ends between its lines included; the beginning of those too long.
        cells: one a column; bytes that are no UTF-8 are lone surrogates, as in Python's file
            names. Empty where there is a `problem`.
        problem: why it cannot be used (`too_large`, `malformed_csv`), else empty; `detail` says
            more.
    """

    line: int
    raw: bytes
    cells: tuple[str, ...]
    problem: str
    detail: str


def delimiter_of(name: str) -> str | None:
    """What stands between the cells of a file called so; none where it is no such file."""
    bare = bare_name(name)
    return next((sign for ending, sign in DELIMITERS.items() if bare.endswith(ending)), None)


def delimited_rows(path: Path, delimiter: str, limit: int) -> Iterator[DelimitedRow]:
    """Every record in order, the header too; empty lines are none.

    Args:
        path: plain, gzip or zstd.
        limit: most bytes of a line.

    Raises:
        DamagedStreamError: after every whole record before the damage. Behind it nothing tells
            whether a line begins a record or is in the middle of a cell.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    source = _Lines(path, limit)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        first, problem, detail, cells = source.number + 1, "", "", list[str]()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The module goes on with the line after the one it stumbled over.
            problem, detail = "malformed_csv", f"lines {first} to {source.number}: {error}"
        except _TooLongError as error:
            problem, detail = "too_large", str(error)
        raw = source.taken()
        if problem or cells:
            yield DelimitedRow(source.number, raw, tuple(cells), problem, detail)


class _TooLongError(Exception):
    """A line is longer than allowed."""


class _Lines:
    """The lines of a file as text; a class, since a generator could not go on after an error."""

    def __init__(self, path: Path, limit: int) -> None:
        self._lines, self._limit = lines(path, limit), limit
        self._raw: list[bytes] = []
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line, length = next(self._lines)
        self._raw.append(line + b"\n")
        if length > self._limit:
            raise _TooLongError(f"a line of {length} bytes, the limit is {self._limit}")
        text = line.decode("utf-8", "surrogateescape") + "\n"
        return text.removeprefix(_BOM) if self.number == 1 else text

    def taken(self) -> bytes:
        """The bytes of the lines since it was last asked."""
        raw = b"".join(self._raw)
        self._raw.clear()
        return raw


def records(rows: Iterator[DelimitedRow]) -> Iterator[tuple[DelimitedRow, dict[str, str] | None]]:
    """Each row behind the header and its cells by the names in the header; none where there is a
    problem, one of which is a number of cells other than the header's.

    An unreadable header is a row with a problem, and the last.
    """
    header: tuple[str, ...] | None = None
    for row in rows:
        if header is None:
            if row.problem:
                yield row, None
                return
            header = tuple(name.strip() for name in row.cells)
        elif row.problem:
            yield row, None
        elif len(row.cells) != len(header):
            detail = f"{len(row.cells)} fields, the header has {len(header)}"
            yield DelimitedRow(row.line, row.raw, (), "malformed_csv", detail), None
        else:
            yield row, dict(zip(header, row.cells, strict=True))
