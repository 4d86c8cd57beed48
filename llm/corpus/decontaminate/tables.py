"""Columns of the tables that decontamination makes."""

from __future__ import annotations

import pyarrow as pa

# item: the first of the evaluation set that has the n-gram, "<file>:<line>".
NGRAMS = pa.schema(
    [
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
    ]
)
# ngram: the first of the document that is in the item; count: how many n-grams of the document.
MATCHES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
