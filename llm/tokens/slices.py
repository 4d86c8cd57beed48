"""Slices: the documents of a source that are in some of the quality buckets, by themselves.

A slice is a source of its own from packing on, so that a mixture gives it a weight and a limit like
any other. The buckets are cut once, when the classifier is trained: a document stays in its slice
whatever documents come later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from llm.errors import ExpectedError
from llm.rows import is_equal, places_of

# What a mixture calls the source of a document: its slice, else its source.
MIXED_AS = pa.field("mixed_as", pa.string())


class NoBucketsError(ExpectedError, ValueError):
    """No document has a quality bucket to go by."""


@dataclass(frozen=True)
class Slice:
    """Some documents of a source.

    Attributes:
        name: of the source that they make up.
        source: the one they are taken from.
        buckets: the quality buckets they are in.
    """

    name: str
    source: str
    buckets: range


def mixed_as(
    documents: pa.Table, annotated: Iterable[pa.Table], slices: Sequence[Slice]
) -> pa.Array:
    """string (documents,): the slice that each document is in, else its source.

    A document without a bucket is in no slice.

    Args:
        documents: with doc_id and source.
        annotated: tables with doc_id and quality_bucket, of these documents among others.
        slices: no two of one source have a bucket in common.

    Raises:
        NoBucketsError: none of the documents has a bucket.
    """
    bucket = np.full(documents.num_rows, -1, dtype=np.int64)
    ids = documents.column("doc_id")
    for table in annotated:
        places = places_of(ids, table.column("doc_id"))
        found = table.column("quality_bucket").fill_null(-1).take(places.drop_null())
        bucket[places.is_valid().to_numpy()] = found.to_numpy()
    if (bucket < 0).all():
        raise NoBucketsError(
            f"none of the {documents.num_rows} documents has a quality bucket: those there are of "
            "the classifier called quality, if it was trained where the recipe had documents"
        )
    source = documents.column("source")
    names = np.array(source.to_pylist(), dtype=object)
    for each in slices:
        inside = (bucket >= each.buckets.start) & (bucket < each.buckets.stop)
        names[inside & is_equal(source, each.source).to_numpy()] = each.name
    return pa.array(names.tolist(), pa.string())
