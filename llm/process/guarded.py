"""The net under every stage that works on texts: a document that never ends, or kills its process,
costs that document.

A function over tables of documents runs in a child process, a small batch of rows at a time. A
batch that takes longer than its deadline, or whose process dies, goes row by row; a row that fails
alone, twice, is `LostDocument` (llm/process/sandbox.py). The deadline is by the clock and far above
what any sound text takes: results do not depend on it unless it is hit, and batches are cut by
rows and bytes alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import pyarrow as pa

from llm.arrow_without_pandas import block_pandas
from llm.process.child_main import resolve
from llm.process.sandbox import Failure, Sandbox, batches, warm_sandbox
from llm.rows import bytes_of

# A batch is done in about a second by the slowest stage, so that the deadline of a document can
# be that of a batch.
BATCH_ROWS = 256
BATCH_BYTES = 1 << 20
# The slowest stage takes 1 MB a second on an idle core; so slow a machine as 1/30 of that is fine.
DEADLINE_SECONDS = 60.0
SECONDS_A_MEGABYTE = 30.0
# Models and lists are loaded before the first document is looked at.
_LOADING_SECONDS = 600.0
# Of the machine's memory, for all processes together; as in the pool of workers.
_MEMORY_SHARE = 0.5

TIMEOUT = "timeout"

block_pandas()  # whatever runs on rows in a child comes by here


@dataclass(frozen=True)
class LostDocument:
    """A document that was given up, twice alone: the reason is "timeout" or "crashed"."""

    doc_id: str
    reason: str
    detail: str

    @property
    def timing_dependent(self) -> bool:
        """Whether another run might come to another end."""
        return self.reason == TIMEOUT


class Rows(Sequence[Any]):
    """Rows of a table as a sandbox's items. Travels as an Arrow stream, which holds these rows
    alone, where the pickle of a slice would hold the whole table."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, place: int) -> Rows: ...
    @overload
    def __getitem__(self, place: slice) -> Rows: ...
    def __getitem__(self, place: int | slice) -> Rows:
        if isinstance(place, int):
            place = slice(place, place + 1)
        start, stop, _ = place.indices(len(self))
        return Rows(self.table.slice(start, stop - start))

    def __reduce__(self) -> tuple[Callable[[bytes], Rows], tuple[bytes]]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_table(self.table)
        return _receive, (sink.getvalue().to_pybytes(),)


def _receive(raw: bytes) -> Rows:
    with pa.ipc.open_stream(raw) as stream:
        return Rows(stream.read_all())


def guarded(
    function: str, arguments: Sequence[Any], tables: Iterable[pa.Table], text: str = "text"
) -> Iterator[Any]:
    """What `function(table, *arguments)` returns for consecutive rows of tables, in order, and a
    `LostDocument` in the place of each document it could not be had for.

    The function sees at most `BATCH_ROWS` rows and, of more than one row, `BATCH_BYTES` of text
    at once, and may be called with none, to load what it needs. Its process stays for the next
    caller with the same function and arguments (`llm.process.sandbox.close_warm` ends it).

    Args:
        function: "module:name", at the top level of a module.
        arguments: picklable and comparable.
        tables: with a column doc_id.
        text: the column whose length decides the batches.

    Raises:
        ChildFailedError: the function raised.
        ChildCrashedError, ChildTimeoutError: without any document.
    """
    sandbox = warm_sandbox(
        "llm.process.guarded:answer", (function, *arguments), DEADLINE_SECONDS, None, None
    )
    for table in tables:
        sandbox.prepare(Rows(table.schema.empty_table()), _LOADING_SECONDS)
        for rows, size in _batches(table, text):
            yield from _results(sandbox, rows, size)
    import psutil  # not before: the child imports this file too

    cores = os.cpu_count() or 1
    if sandbox.rss_bytes() > psutil.virtual_memory().total * _MEMORY_SHARE / cores:
        sandbox.close()


def seconds_for(size: int) -> float:
    """More than work on so many bytes of text can take, beside what it takes to begin."""
    return SECONDS_A_MEGABYTE * size / (1 << 20)


def answer(rows: Rows, function: str, *arguments: Any) -> list[Any]:
    """In the child: the one result for all the rows."""
    return [resolve(function)(rows.table, *arguments)]


def _batches(table: pa.Table, text: str) -> Iterator[tuple[Rows, int]]:
    column = table.column(text)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        sizes = bytes_of(column).to_pylist()
    else:  # a column of the user's choice may be of any type
        sizes = [0] * len(column)
    for places in batches(range(len(sizes)), sizes.__getitem__, BATCH_ROWS, BATCH_BYTES):
        rows = Rows(table.slice(places[0], len(places)))
        yield rows, sum(sizes[place] for place in places)


def _results(sandbox: Sandbox[Any, Any], rows: Rows, size: int) -> Iterator[Any]:
    results = sandbox.run(rows, seconds_for(size))
    if len(results) < len(rows):
        yield from results  # the one for all of them
        return
    ids = rows.table.column("doc_id").to_pylist()
    for doc_id, result in zip(ids, results, strict=True):
        if isinstance(result, Failure):
            yield LostDocument(doc_id, result.reason, result.detail)
        else:
            yield result
