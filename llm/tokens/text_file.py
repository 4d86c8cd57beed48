"""Texts in an Arrow file that a process maps into memory: read again and again, held by nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

_SCHEMA = pa.schema([pa.field("text", pa.large_string(), nullable=False)])


def write_texts(tables: Iterable[pa.Table], path: Path) -> int:
    """Write the column `text` of tables, nulls left out, in order; the texts' bytes."""
    size = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as stream:
        for table in tables:
            texts = table.select(["text"]).drop_null().cast(_SCHEMA)
            stream.write_table(texts)
            size += texts.nbytes
    return size


class TextFile(Collection[str]):
    """The texts of a file of `write_texts`; each is made a `str` when its turn comes."""

    def __init__(self, path: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = self._reader.num_record_batches

    def __iter__(self) -> Iterator[str]:
        for number in range(self._batches):
            for text in self._reader.get_batch(number).column(0):
                yield text.as_py()

    def __len__(self) -> int:
        return sum(self._reader.get_batch(number).num_rows for number in range(self._batches))

    def __contains__(self, text: object) -> bool:
        return any(text == other for other in self)
