"""Rows that hold documents a model has not learned from, and which of the others to repeat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.rows import rows_with
from llm.tables import TRAIN

Bools = NDArray[np.bool_]


def train_documents(tables: Iterable[pa.Table]) -> pa.Array:
    """string (documents,): the ids of those of split train.

    Args:
        tables: with columns doc_id and split.
    """
    found = [rows_with(table, "split", TRAIN).column("doc_id") for table in tables]
    chunks = [chunk for column in found for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.string()).combine_chunks()


def new_tokens(rows: pa.Table, seen: pa.Array) -> NDArray[np.int64]:
    """int64 (rows,): of each row the tokens of documents that are not among `seen`.

    Args:
        rows: with columns doc_ids and doc_lengths, see `sequences.SEQUENCES`.
        seen: string (documents,).
    """
    import pyarrow.compute as pc  # not before: see llm/rows.py

    ids = rows.column("doc_ids").combine_chunks()
    lengths = rows.column("doc_lengths").combine_chunks().flatten().to_numpy()
    known = pc.is_in(ids.flatten(), value_set=seen).to_numpy(zero_copy_only=False)
    row = ids.value_parent_indices().to_numpy()
    weights = np.where(known, 0, lengths)
    return np.bincount(row, weights=weights, minlength=rows.num_rows).astype(np.int64)


def wanted_rows(new: int, seen: int, at_least: int, share: float) -> int:
    """How many of the rows seen before are repeated beside all new ones.

    Args:
        new, seen: rows of either kind there are.
        at_least: rows that a run is to have, both kinds together.
        share: of the rows of the run that are repeated, at least; below 1.
    """
    by_share = -(-new * share // (1 - share))
    return min(seen, max(0, at_least - new, int(by_share)))


def drawn(of: int, wanted: int, seed: int) -> Bools:
    """bool (of,): which rows are repeated, `wanted` of them, each as likely (Philox)."""
    chosen = np.zeros(of, dtype=np.bool_)
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, 0], dtype=np.uint64)))
    chosen[generator.permutation(of)[:wanted]] = True
    return chosen
