"""Validation examples: the validation rows of instructions and preferences, a fixed choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.tables import VALIDATION


def validation_examples(
    paths: Sequence[Path], columns: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """The first `limit` validation rows in order of doc_id, as dicts of `columns` and doc_id."""
    found: list[dict[str, Any]] = []
    for path in paths:
        table = pq.read_table(path, columns=["doc_id", "split", *columns])
        kept = table.filter(pc.equal(table.column("split"), VALIDATION))
        found += kept.drop_columns(["split"]).to_pylist()
        # doc_ids are hashes, so that the first are a fair draw; no more than `limit` are kept.
        found = sorted(found, key=lambda row: str(row["doc_id"]))[:limit]
    return found
