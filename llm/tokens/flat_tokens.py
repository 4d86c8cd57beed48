"""All tokens of a corpus in one flat file, addressed by document.

Packing takes documents in an order of its own; a memory map gives any span of any document
while only the index (three numbers and an id a document) is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class FlatTokens:
    """Documents in order of doc_id, whatever the order in which they were written.

    Args:
        path: the file to write; an existing one is replaced.
        tables: at least one, with columns doc_id, tokens (list<int32>, none empty) and any others.

    Attributes:
        index: a table of all columns but tokens, and start int64 (in the file), length int64.
    """

    def __init__(self, path: Path, tables: Iterable[pa.Table]) -> None:
        kept, lengths = [], [np.empty(0, dtype=np.int64)]
        with path.open("wb") as stream:
            for table in tables:
                # A slice of a list column shares its values; flattening cuts them to size.
                tokens = table.column("tokens").combine_chunks()
                values = np.ascontiguousarray(tokens.flatten().to_numpy(), dtype=np.int32)
                stream.write(values.data)
                lengths.append(tokens.value_lengths().to_numpy().astype(np.int64))
                kept.append(table.drop_columns(["tokens"]))
        length = np.concatenate(lengths)
        self.path = path
        index = pa.concat_tables(kept)
        index = index.append_column("start", pa.array(np.cumsum(length) - length))
        self.index = index.append_column("length", pa.array(length)).sort_by("doc_id")
        size = int(length.sum())
        self._values: NDArray[np.int32] = (
            np.memmap(path, dtype=np.int32, mode="r", shape=(size,))
            if size  # an empty file cannot be mapped
            else np.empty(0, dtype=np.int32)
        )

    def span(self, start: int, length: int) -> NDArray[np.int32]:
        """int32 (length,): tokens from a place in the file on."""
        return self._values[start : start + length]
