"""What deduplication knows of every document: its digest, its size, its signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.compiled_signing import Signed, worthwhile_kernel
from llm.corpus.dedup.minhash import minhash_signatures
from llm.corpus.dedup.shingles import shingle_hashes, shingles, text_digest
from llm.corpus.dedup.signature_rows import SignatureRows, map_signatures
from llm.corpus.dedup.tables import SIGNATURES
from llm.errors import ExpectedError
from llm.rows import characters_of, without_nulls


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
    texts = without_nulls(documents.column("text"))
    kernel = worthwhile_kernel(texts.nbytes)
    signed = (
        kernel.sign(texts, num_perm, words) if kernel else signed_by_python(texts, num_perm, words)
    )
    minhash = signed.minhash.astype("<u4", copy=False)
    columns = {
        "doc_id": documents.column("doc_id"),
        "text_digest": signed.digests,
        "text_chars": characters_of(texts).cast(pa.int64()),
        "shingles": signed.shingles,
        "minhash": [row.tobytes() for row in minhash],
    }
    return pa.table(columns, schema=SIGNATURES)


def signed_by_python(texts: pa.Array, num_perm: int, words: int) -> Signed:
    """What `Kernel.sign` gives, by Python."""
    each = texts.to_pylist()
    sets = [shingles(text, words) for text in each]
    return Signed(
        [text_digest(text) for text in each],
        np.array([len(found) for found in sets], dtype=np.int64),
        minhash_signatures(sets, num_perm),
    )


def all_shingle_hashes(texts: pa.Array, words: int) -> list[npt.NDArray[np.uint64]]:
    """`shingle_hashes` of each text.

    Args:
        texts: strings, none null.
    """
    if kernel := worthwhile_kernel(texts.nbytes):
        return kernel.shingle_hashes(texts, words)
    return [shingle_hashes(text, words) for text in texts.to_pylist()]


@dataclass(frozen=True)
class Signatures:
    """Signatures of documents, in ascending order of doc_id, however they came in.

    Attributes:
        doc_ids, digests: `(documents,)` bytes (dtype S).
        text_chars, shingles: `(documents,)` int64.
        minhash: `(documents, num_perm)` uint32, on disk.
    """

    doc_ids: npt.NDArray[np.bytes_]
    digests: npt.NDArray[np.bytes_]
    text_chars: npt.NDArray[np.int64]
    shingles: npt.NDArray[np.int64]
    minhash: SignatureRows


def gather(tables: Iterable[pa.Table], num_perm: int, path: Path) -> Signatures:
    """Bring tables of `SIGNATURES` together; 80 bytes a document.

    Args:
        path: a file to write the MinHash values to, 4 num_perm bytes a document; what is returned
            reads it.

    Raises:
        RepeatedDocumentError: a doc_id occurs twice.
    """
    ids = [np.empty(0, dtype="S1")]
    digests = [np.empty(0, dtype="S1")]
    chars, counts = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    with path.open("wb") as stream:
        for table in tables:
            if not table.num_rows:
                continue
            ids.append(np.array([text.encode() for text in table.column("doc_id").to_pylist()]))
            digests.append(np.array(table.column("text_digest").to_pylist(), dtype="S"))
            chars.append(table.column("text_chars").to_numpy())
            counts.append(table.column("shingles").to_numpy())
            stream.writelines(table.column("minhash").to_pylist())
    order = np.argsort(np.concatenate(ids), kind="stable")
    doc_ids = _taken(ids, order)
    repeated = np.flatnonzero(doc_ids[1:] == doc_ids[:-1])
    if len(repeated):
        raise RepeatedDocumentError(
            f"doc_id {doc_ids[repeated[0]].decode()} occurs twice ({len(repeated)} repeated rows); "
            "documents must be unique before they are deduplicated"
        )
    return Signatures(
        doc_ids,
        _taken(digests, order),
        _taken(chars, order),
        _taken(counts, order),
        SignatureRows(map_signatures(path, num_perm), order),
    )


def _taken(parts: list[npt.NDArray[Any]], order: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The parts as one array in that order; they are let go of, since together they are large."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole[order]


def align(
    signatures: Signatures, tables: Iterable[pa.Table], column: str
) -> npt.NDArray[np.float64]:
    """Values of a column of numbers or times (microseconds since 1970, which float64 holds
    exactly) in the order of `signatures`, NaN for null and for no row.

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
        numbers = table.column(column)
        if pa.types.is_timestamp(numbers.type):
            numbers = numbers.cast(pa.timestamp("us", numbers.type.tz)).cast(pa.int64())
        values[at[known]] = numbers.cast(pa.float64()).to_numpy()[known]
    return values


def keep_order(
    signatures: Signatures, keep: Sequence[str], columns: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.int64]:
    """Row numbers of `signatures`, the document to keep before all others first.

    Args:
        keep: criteria, the first one that tells two documents apart decides: "quality_score"
            (higher first, unknown last), "first_seen" (earlier first, unknown last), "longest"
            (characters), "doc_id" (ascending, always the last resort).
        columns: what the first two go by: values of each document in the order of `signatures`,
            NaN where unknown.

    Raises:
        KeepOrderError: an unknown criterion, or one without its column.
    """
    keys: list[npt.NDArray[np.float64] | npt.NDArray[np.int64]] = []
    for criterion in keep:
        if criterion in ("quality_score", "first_seen"):
            if criterion not in columns:
                raise KeepOrderError(f"keep: {criterion}, but there is no column for it")
            values = columns[criterion] * (-1.0 if criterion == "quality_score" else 1.0)
            keys.append(np.where(np.isnan(values), np.inf, values))
        elif criterion == "longest":
            keys.append(-signatures.text_chars)
        elif criterion == "doc_id":
            break
        else:
            raise KeepOrderError(f"keep: unknown criterion {criterion!r}")
    keys.append(np.arange(len(signatures.doc_ids)))
    order: npt.NDArray[np.int64] = np.lexsort(keys[::-1])
    return order
