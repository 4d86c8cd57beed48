"""Columns of the tables that deduplication makes."""

from __future__ import annotations

import pyarrow as pa

from llm.tables import DOC_ID

# minhash: num_perm little-endian uint32, all 2^32 - 1 where there are no shingles.
SIGNATURES = pa.schema(
    [
        DOC_ID,
        pa.field("text_digest", pa.string(), nullable=False),
        pa.field("text_chars", pa.int64(), nullable=False),
        pa.field("shingles", pa.int64(), nullable=False),
        pa.field("minhash", pa.binary(), nullable=False),
    ]
)
# A row a document that has a near-duplicate at the split level. cluster_id: the smallest doc_id
# of its component of pairs at or above the removal threshold; split_group: at the split level.
CLUSTERS = pa.schema(
    [
        DOC_ID,
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("split_group", pa.string(), nullable=False),
    ]
)
# doc_id is the later of the two in keep order; kept_doc_id is set in the row that decided its
# removal. rule: exact, near (at or above the threshold), split (below it).
PAIRS = pa.schema(
    [
        DOC_ID,
        pa.field("other_id", pa.string(), nullable=False),
        pa.field("kept_doc_id", pa.string()),
        pa.field("jaccard", pa.float64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
# Behind these where containment removes: the share of doc_id's shingles that other_id has.
CONTAINMENT = pa.field("containment", pa.float64(), nullable=False)
# What became of each document, cut and ordered as the documents are. split_group: the document its
# group is called by, null where that is itself, so that another one in its group changes no row of
# a document that was there before.
DECISIONS = pa.schema(
    [
        DOC_ID,
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("split_group", pa.string()),
    ]
)
# Behind these and in documents, where it is asked for: as size in `CLUSTERS`, 1 alone.
CLUSTER_SIZE = pa.field("cluster_size", pa.int64(), nullable=False)
