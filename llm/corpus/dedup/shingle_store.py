"""Shingle sets on disk, and the true Jaccard index of pairs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.shingles import shingle_hashes
from llm.errors import ExpectedError

# Hashes held in memory while one document is compared with many: 32 MiB.
_HASHES_AT_ONCE = 1 << 22


class MissingTextError(ExpectedError, ValueError):
    """A document whose shingles are needed is not among the tables."""


class ShingleStore:
    """Sorted shingle hashes of some documents in one memory-mapped file, 8 bytes a shingle.

    Built by `write_shingles`; only pages in use are in memory.
    """

    def __init__(
        self, path: Path, starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
    ) -> None:
        self._starts, self._sizes = starts, sizes
        self._hashes: npt.NDArray[np.uint64]
        if path.stat().st_size:
            self._hashes = np.memmap(path, dtype="<u8", mode="r")
        else:
            self._hashes = np.empty(0, dtype=np.uint64)

    def _shingles_of(self, node: int) -> npt.NDArray[np.uint64]:
        start = self._starts[node]
        return self._hashes[start : start + self._sizes[node]]

    def jaccard(self, one: int, others: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Jaccard index |A ∩ B| / |A ∪ B| of one document with each of others, `(others,)`."""
        own = self._shingles_of(one)
        shared = np.empty(len(others), dtype=np.int64)
        begin, held = 0, 0
        for index, other in enumerate(others):
            held += int(self._sizes[other])
            if held >= _HASHES_AT_ONCE or index + 1 == len(others):
                shared[begin : index + 1] = self._count_shared(own, others[begin : index + 1])
                begin, held = index + 1, 0
        result: npt.NDArray[np.float64] = shared / (len(own) + self._sizes[others] - shared)
        return result

    def _count_shared(
        self, own: npt.NDArray[np.uint64], others: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        theirs = np.concatenate([self._shingles_of(int(other)) for other in others])
        at = np.searchsorted(own, theirs)
        at[at == len(own)] = 0
        starts = np.cumsum(self._sizes[others]) - self._sizes[others]
        hits: npt.NDArray[np.int64] = np.add.reduceat((own[at] == theirs).astype(np.int64), starts)
        return hits

    def jaccards(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Jaccard index of each pair, `(pairs,)`; pairs are sorted by their first member."""
        result = np.empty(len(pairs))
        if not len(pairs):
            return result
        changes = np.flatnonzero(np.diff(pairs[:, 0])) + 1
        for begin, end in zip([0, *changes], [*changes, len(pairs)], strict=True):
            result[begin:end] = self.jaccard(int(pairs[begin, 0]), pairs[begin:end, 1])
        return result


def write_shingles(
    tables: Iterable[pa.Table], wanted: Mapping[str, int], nodes: int, words: int, path: Path
) -> ShingleStore:
    """Hash the shingles of some documents into a file.

    Args:
        tables: columns doc_id, text.
        wanted: doc_id -> node; each of these texts has at least one shingle.
        nodes: one more than the largest node.
        words: words a shingle.
        path: file to write.

    Raises:
        MissingTextError: a wanted document is in none of the tables.
    """
    starts = np.zeros(nodes, dtype=np.int64)
    sizes = np.zeros(nodes, dtype=np.int64)
    written, found = 0, 0
    with path.open("wb") as stream:
        for table in tables:
            ids, texts = table.column("doc_id").to_pylist(), table.column("text")
            for doc_id, text in zip(ids, texts, strict=True):
                node = wanted.get(doc_id)
                if node is None:
                    continue
                hashes = shingle_hashes(text.as_py() or "", words)
                starts[node], sizes[node] = written, len(hashes)
                stream.write(hashes.astype("<u8", copy=False).tobytes())
                written += len(hashes)
                found += 1
    if found != len(wanted):
        raise MissingTextError(
            f"{len(wanted) - found} of {len(wanted)} documents to compare have no text in the "
            "tables read; signatures and documents are of different artifacts"
        )
    return ShingleStore(path, starts, sizes)
