"""What is often asked of the rows of a table.

Arrow's functions are imported when one of these is called, and not before: making them takes longer
than all else that a command needs of Arrow, and commands import every stage to run few or none.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa


def bytes_of(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """How many bytes each text has in UTF-8, or each binary value; 0 for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.binary_length(texts), 0)


def characters_of(texts: pa.Array) -> pa.Array:
    """How many code points each text has."""
    import pyarrow.compute as pc

    return pc.utf8_length(texts)


def without_nulls(texts: pa.ChunkedArray) -> pa.Array:
    """The texts in one array, "" in the place of null."""
    import pyarrow.compute as pc

    whole = pc.fill_null(texts, "").combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def is_equal(column: pa.ChunkedArray | pa.Array, value: str | int) -> pa.ChunkedArray | pa.Array:
    """bool (rows,): where the column has that value; false for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(column, value), False)


def begins_with(column: pa.ChunkedArray, prefix: str) -> pa.ChunkedArray:
    """bool (rows,): where the text begins so; false for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.starts_with(column, prefix), False)


def rows_with(table: pa.Table, column: str, value: str | int) -> pa.Table:
    """The rows that have that value in a column."""
    return table.filter(is_equal(table.column(column), value))


def rows_among(table: pa.Table, doc_ids: Iterable[str]) -> pa.Table:
    """The rows whose doc_id is one of these."""
    import pyarrow.compute as pc

    wanted = pa.array(list(doc_ids), pa.string())
    return table.filter(pc.is_in(table.column("doc_id"), value_set=wanted))


def places_of(ids: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """int32 (len(ids),): where in `known` each id is; null where it is not."""
    import pyarrow.compute as pc

    return pc.index_in(ids, value_set=known)
