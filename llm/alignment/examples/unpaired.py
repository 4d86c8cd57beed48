"""Pairs of answers taken apart: what was preferred has a thumb up, what it was preferred to a thumb
down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from llm.alignment.examples.tables import THUMBS
from llm.corpus.identity import doc_id

COLUMNS = ("doc_id", "source", "split", "parent_doc_ids", "prompt", "chosen", "rejected")
_AT_ONCE = 4096


def unpaired(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """THUMBS of PREFERENCES: two rows a pair, each with a doc_id of its own."""
    for table in tables:
        for batch in table.select(COLUMNS).to_batches(max_chunksize=_AT_ONCE):
            rows = [
                {
                    **{
                        name: pair[name] for name in ("source", "split", "parent_doc_ids", "prompt")
                    },
                    "doc_id": doc_id(pair["doc_id"], side, b""),
                    "answer": pair[side],
                    "desirable": side == "chosen",
                }
                for pair in batch.to_pylist()
                for side in ("chosen", "rejected")
            ]
            yield pa.Table.from_pylist(rows, schema=THUMBS)
