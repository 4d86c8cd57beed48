"""Rows of CSV and TSV files (RFC 4180): examples, labels and evaluation items come in these too."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.source.streams import bare_name, lines

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BOM = "\ufeff"
# The module's own limit, 128 KiB, is less than a passage; it holds for the whole process.
_LONGEST_FIELD = 1 << 24
_MANY_LINES = 10


@dataclass(frozen=True)
class DelimitedRow:
    """A record of a file.

    Attributes:
        line: on which it ends, from 1.
        raw: its bytes, line ends between its lines included; the beginning of those too long.
        cells: one a column; bytes that are no UTF-8 are lone surrogates, as in Python's file
            names. Empty where there is a `problem`.
        problem: why it cannot be used (`too_large`, `malformed_csv`; of a header
            `duplicate_field`), else empty; `detail` says more.
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

    A quotation mark that opens a cell and belongs to none would take in the lines behind it. Where
    it shows as such (the cell does not end, or the row has another number of cells than the first,
    or the lines it takes in look like rows) its line is a row by itself, and reading goes on with
    the next: in a TSV, where many programs quote nothing, the mark is text; else the row has a
    problem.

    Args:
        path: plain, gzip or zstd.
        limit: most bytes of a line.

    Raises:
        DamagedStreamError: after every whole record before the damage. Behind it nothing tells
            whether a line begins a record or is in the middle of a cell.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    source, width = _Lines(path, limit), 0
    while (row := _next_row(source, delimiter, width)) is not None:
        width = width or len(row.cells)
        if row.problem or row.cells:
            yield row


def _next_row(source: _Lines, delimiter: str, width: int) -> DelimitedRow | None:
    """The record that begins with the next line; `width` is the first one's number of cells."""
    problem, detail, cells = "", "", list[str]()
    try:
        cells = next(csv.reader(source, delimiter=delimiter, strict=True))
    except StopIteration:
        return None
    except csv.Error as error:
        problem, detail = "malformed_csv", str(error)
    except _TooLongError as error:
        problem, detail = "too_large", str(error)
    first, last = source.first(), source.number
    if last > first:
        if not problem and width and len(cells) != width:
            problem, detail = "malformed_csv", f"{len(cells)} fields, the first row has {width}"
        elif not problem and _look_like_rows(source.texts(), delimiter, width):
            problem, detail = "malformed_csv", "the lines it takes in look like rows"
        if problem:
            problem = "malformed_csv"
            detail = (
                f"line {first}: a quotation mark opens a cell and is not closed as it should be "
                f"(read up to line {last}: {detail}); reading goes on with line {first + 1}"
            )
            source.give_back()
    elif problem == "malformed_csv":
        detail = f"line {first}: {detail}"
    if delimiter == "\t" and problem != "too_large" and (problem or len(cells) != width):
        plain = _plain_cells(source.texts()[0], delimiter) if source.texts()[0].strip() else []
        if problem or len(plain) == width:
            problem, detail, cells = "", "", plain
    return DelimitedRow(source.number, source.taken(), tuple(cells), problem, detail)


def _look_like_rows(texts: list[str], delimiter: str, width: int) -> bool:
    """Whether lines read as one row are more likely rows each: most have as many delimiters.

    Prose has few tabs; commas it has, and so of those nearly every one of many lines must.
    """
    if width < 2:
        return False
    whole = sum(text.count(delimiter) == width - 1 for text in texts)
    if delimiter == "\t":
        return 2 * whole > len(texts)
    return len(texts) >= _MANY_LINES and 10 * whole >= 9 * len(texts)


def _plain_cells(text: str, delimiter: str) -> list[str]:
    """The cells of a line where a quotation mark is text, but for those around a whole cell."""
    return [_unquote(cell) for cell in text.rstrip("\r\n").split(delimiter)]


def _unquote(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) < 2 or not cell[0] == cell[-1] == '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


class _TooLongError(Exception):
    """A line is longer than allowed."""


class _Lines:
    """The lines of a file as text, those since `taken` kept: they can be read again."""

    def __init__(self, path: Path, limit: int) -> None:
        self._lines, self._limit = lines(path, limit), limit
        self._kept: list[tuple[int, bytes, int]] = []
        self._again: list[tuple[int, bytes, int]] = []  # the next one last
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        found = self._again.pop() if self._again else next(self._lines)
        self._kept.append(found)
        self.number, line, length = found
        if length > self._limit:
            raise _TooLongError(f"a line of {length} bytes, the limit is {self._limit}")
        return self._text(self.number, line)

    def _text(self, number: int, line: bytes) -> str:
        text = line.decode("utf-8", "surrogateescape") + "\n"
        return text.removeprefix(_BOM) if number == 1 else text

    def first(self) -> int:
        """The number of the first line since `taken`."""
        return self._kept[0][0]

    def texts(self) -> list[str]:
        """The lines since `taken`."""
        return [self._text(number, line) for number, line, _ in self._kept]

    def give_back(self) -> None:
        """Let all lines since `taken` but the first be read again."""
        self._again += reversed(self._kept[1:])
        del self._kept[1:]
        self.number = self._kept[0][0]

    def taken(self) -> bytes:
        """The bytes of the lines since it was last asked."""
        raw = b"".join(line + b"\n" for _, line, _ in self._kept)
        self._kept.clear()
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
            twice = next((name for name in header if name and header.count(name) > 1), None)
            if twice is not None:
                detail = f"the header names {twice!r} twice; rename or remove one column"
                yield DelimitedRow(row.line, row.raw, (), "duplicate_field", detail), None
                return
        elif row.problem:
            yield row, None
        elif len(row.cells) != len(header):
            detail = f"{len(row.cells)} fields, the header has {len(header)}"
            yield DelimitedRow(row.line, row.raw, (), "malformed_csv", detail), None
        else:
            yield row, dict(zip(header, row.cells, strict=True))
