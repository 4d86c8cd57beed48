"""What a run leaves behind beside the model: tables and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.data import Rows
from llm.tables import METRICS

EXAMPLES_FILE, REMOVED_FILE, REJECTED_FILE, METRICS_FILE, PAIRS_FILE, COUNTS_FILE = (
    "examples.parquet",
    "removed.parquet",
    "rejected.parquet",
    "metrics.parquet",
    "pairs.parquet",
    "counts.json",
)


def at(step: int, figures: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Rows of METRICS for figures of one step; those without a value are left out."""
    return [
        {"step": step, "name": name, "value": value}
        for name, value in figures.items()
        if value is not None
    ]


def write(
    folder: Path,
    rows: Rows,
    metrics: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Any],
    more: Mapping[str, pa.Table],
) -> None:
    """Write the tables, and `counts.json`, into a folder; `more` are those of the method's own, by
    the names of their files."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        EXAMPLES_FILE: rows.used,
        REMOVED_FILE: rows.removed,
        REJECTED_FILE: rows.rejected,
        METRICS_FILE: pa.Table.from_pylist(list(metrics), schema=METRICS),
        **more,
    }
    for name, table in tables.items():
        pq.write_table(table, folder / name)
    text = json.dumps(counts, indent=1, allow_nan=False)
    (folder / COUNTS_FILE).write_text(text, encoding="utf-8")
