"""Joining two tables that were cut into parts alike, by doc_id.

Parts are co-partitioned when every part of the one holds rows of its namesake only.
A document its namesake lacks is then in no part at all, and no join needs to look further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.rows import rows_among


def co_partitioned(left: Mapping[str, Path], right: Mapping[str, Path]) -> bool:
    """Whether each part of `right` holds doc_ids of the part of `left` of the same name only.

    Args:
        left, right: Parquet parts with a doc_id column, by name. One pair is in memory at a time.
    """
    for name, path in right.items():
        if name not in left:
            return False
        if not _ids(path) <= _ids(left[name]):
            return False
    return True


def _ids(path: Path) -> set[str]:
    # Not by `pq.read_table`: there may be very many parts, and it takes some times as long.
    with pa.OSFile(str(path)) as opened, pq.ParquetFile(opened) as part:
        return set(part.read(["doc_id"], use_threads=False).column("doc_id").to_pylist())


def rows_of(ids: pa.ChunkedArray, parts: Sequence[Path], schema: pa.Schema) -> pa.Table:
    """The rows of `parts` whose doc_id is among `ids`, in the columns of `schema`."""
    found = [schema.empty_table()]
    wanted = ids.to_pylist()
    for path in parts:
        table = pq.read_table(path, columns=schema.names).cast(schema)
        found.append(rows_among(table, wanted))
    return pa.concat_tables(found).combine_chunks()
