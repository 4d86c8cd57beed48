"""Reading a part: one Parquet file of a published table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.arrow_without_pandas import block_pandas

_ALONE = 1 << 20

block_pandas()  # whatever reads parts comes by here: commands, flows, workers


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A part as one table.

    Not by `pq.read_table`, which takes a folder called `a=b` for a column and needs
    `pyarrow.dataset`, and with it pandas: half a second before the first row.

    Args:
        columns: in the order wanted; "struct.field" gives the field, under its own name.

    Raises:
        pa.ArrowException, OSError: the file cannot be read, or lacks a column.
    """
    # Opened here: by a path pyarrow would first ask which file system it is of.
    with pa.OSFile(str(path)) as opened, pq.ParquetFile(opened) as source:
        threads = opened.size() > _ALONE  # of a small part they cost more than they read
        if columns is None:
            return source.read(use_threads=threads)
        table = source.read(columns=list(columns), use_threads=threads)
    if table.schema.names == list(columns):
        return table
    fields, arrays = [], []
    for name in columns:
        top, *below = [name] if name in table.schema.names else name.split(".")
        if top not in table.schema.names:
            raise pa.ArrowInvalid(f"no column {name} in {path}")
        field, array = table.schema.field(top), table.column(top)
        for inner in below:
            field = array.type.field(inner)
            array = array.flatten()[array.type.get_field_index(inner)]
        fields.append(field)
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields, table.schema.metadata))
