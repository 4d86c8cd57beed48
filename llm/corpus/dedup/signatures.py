"""What deduplication knows of every document: its digest, its size, its signature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.minhash import minhash_signatures
from llm.corpus.dedup.shingles import shingles, text_digest
from llm.corpus.dedup.tables import SIGNATURES
from llm.errors import ExpectedError


class RepeatedDocumentError(ExpectedError, ValueError):
    """Two rows have one doc_id."""


class KeepOrderError(ExpectedError, ValueError):
    """A criterion of the keep order is unknown or lacks its data."""


def sign(documents: pa.Table, num_perm: int, words: int) -> pa.Table:
    """The signature of each document, a pure function of its text.

    Args:
        documents: columns doc_id, text; a null text counts as empty.
        words: words a shingle.

    Returns:
        A table of `SIGNATURES`, rows in the same order.
    """
    texts = [text or "" for text in documents.column("text").to_pylist()]
    sets = [shingles(text, words) for text in texts]
    matrix = minhash_signatures(sets, num_perm).astype("<u4", copy=False)
    columns = {
        "doc_id": documents.column("doc_id"),
        "text_digest": [text_digest(text) for text in texts],
        "text_chars": [len(text) for text in texts],
        "shingles": [len(found) for found in sets],
        "minhash": [row.tobytes() for row in matrix],
    }
    return pa.table(columns, schema=SIGNATURES)


@dataclass(frozen=True)
class Signatures:
    """Signatures of documents, in ascending order of doc_id, however they came in.

    Attributes:
        doc_ids, digests: `(documents,)` bytes (dtype S).
        text_chars, shingles: `(documents,)` int64.
        minhash: `(documents, num_perm)` uint32.
    """

    doc_ids: npt.NDArray[np.bytes_]
    digests: npt.NDArray[np.bytes_]
    text_chars: npt.NDArray[np.int64]
    shingles: npt.NDArray[np.int64]
    minhash: npt.NDArray[np.uint32]


def gather(tables: Iterable[pa.Table], num_perm: int) -> Signatures:
    """Bring tables of `SIGNATURES` together; 4 num_perm + 80 bytes a document.

    Raises:
        RepeatedDocumentError: a doc_id occurs twice.
    """
    ids = [np.empty(0, dtype="S1")]
    digests = [np.empty(0, dtype="S1")]
    chars, counts = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    rows = [np.empty((0, num_perm), dtype=np.uint32)]
    for table in tables:
        if not table.num_rows:
            continue
        ids.append(np.array([text.encode() for text in table.column("doc_id").to_pylist()]))
        digests.append(np.array(table.column("text_digest").to_pylist(), dtype="S"))
        chars.append(table.column("text_chars").to_numpy())
        counts.append(table.column("shingles").to_numpy())
        joined = b"".join(table.column("minhash").to_pylist())
        rows.append(np.frombuffer(joined, dtype="<u4").reshape(-1, num_perm))
    doc_ids = np.concatenate(ids)
    order = np.argsort(doc_ids, kind="stable")
    doc_ids = doc_ids[order]
    repeated = np.flatnonzero(doc_ids[1:] == doc_ids[:-1])
    if len(repeated):
        raise RepeatedDocumentError(
            f"doc_id {doc_ids[repeated[0]].decode()} occurs twice ({len(repeated)} repeated rows); "
            "documents must be unique before they are deduplicated"
        )
    return Signatures(
        doc_ids,
        np.concatenate(digests)[order],
        np.concatenate(chars)[order],
        np.concatenate(counts)[order],
        np.concatenate(rows)[order],
    )


def align(
    signatures: Signatures, tables: Iterable[pa.Table], column: str
) -> npt.NDArray[np.float64]:
    """Values of a numeric column in the order of `signatures`, NaN for null and for no row.

    Args:
        tables: columns doc_id and `column`, rows in any order; unknown documents are ignored.
    """
    values = np.full(len(signatures.doc_ids), np.nan)
    for table in tables:
        ids = np.array([text.encode() for text in table.column("doc_id").to_pylist()], dtype="S")
        at = np.minimum(np.searchsorted(signatures.doc_ids, ids), max(len(values) - 1, 0))
        if not len(values) or not len(ids):
            continue
        known = signatures.doc_ids[at] == ids
        values[at[known]] = table.column(column).cast(pa.float64()).to_numpy()[known]
    return values


def keep_order(
    signatures: Signatures, keep: Sequence[str], quality: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.int64]:
    """Row numbers of `signatures`, the document to keep before all others first.

    Args:
        keep: criteria, the first one that tells two documents apart decides: "quality_score"
            (higher first, unknown last), "longest" (characters), "doc_id" (ascending, always
            the last resort).
        quality: score of each document in the order of `signatures`, NaN where unknown.

    Raises:
        KeepOrderError: an unknown criterion, or "quality_score" without `quality`.
    """
    keys: list[npt.NDArray[np.float64] | npt.NDArray[np.int64]] = []
    for criterion in keep:
        if criterion == "quality_score":
            if quality is None:
                raise KeepOrderError("keep: quality_score, but there are no attributes")
            keys.append(np.where(np.isnan(quality), np.inf, -quality))
        elif criterion == "longest":
            keys.append(-signatures.text_chars)
        elif criterion == "doc_id":
            break
        else:
            raise KeepOrderError(f"keep: unknown criterion {criterion!r}")
    keys.append(np.arange(len(signatures.doc_ids)))
    order: npt.NDArray[np.int64] = np.lexsort(keys[::-1])
    return order
