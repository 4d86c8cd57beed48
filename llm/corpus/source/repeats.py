"""Finding the same capture in several files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

CAPTURES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC")),
    ]
)
REPEATS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("kept_unit", pa.string(), nullable=False),
    ]
)


def repeated_captures(captures: pa.Table) -> pa.Table:
    """Which captures to drop so that every doc_id is left once.

    Of equal captures the earliest by `fetched_at` stays (one without a date comes last, the name
    of the unit breaks ties): a later crawl leaves what is built from earlier ones untouched.

    Args:
        captures: columns of `CAPTURES`; no doc_id twice in a unit.

    Returns:
        Columns of `REPEATS`, sorted: doc_id, the unit to drop it from, the unit that keeps it.
    """
    # Plain strings end at 2 GiB, some tens of millions of captures.
    wide = pa.schema([_wide(field) for field in captures.schema])
    ordered = captures.cast(wide).sort_by(
        [("doc_id", "ascending"), ("fetched_at", "ascending"), ("unit", "ascending")]
    )
    ids = ordered.column("doc_id").combine_chunks().dictionary_encode().indices.to_numpy()
    if not len(ids):
        return REPEATS.empty_table()
    first = np.concatenate([[True], ids[1:] != ids[:-1]])
    keeper = np.maximum.accumulate(np.where(first, np.arange(len(ids)), 0))
    dropped = np.flatnonzero(~first)
    units = ordered.column("unit")
    table = pa.table(
        [ordered.column("doc_id").take(dropped), units.take(dropped), units.take(keeper[dropped])],
        names=REPEATS.names,
    )
    return table.sort_by([("unit", "ascending"), ("doc_id", "ascending")]).cast(REPEATS)


def _wide(field: pa.Field) -> pa.Field:
    return field.with_type(pa.large_string()) if pa.types.is_string(field.type) else field
