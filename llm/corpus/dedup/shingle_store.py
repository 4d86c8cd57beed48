"""Shingle sets on disk, and how alike pairs of them truly are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.signatures import all_shingle_hashes
from llm.errors import ExpectedError
from llm.rows import without_nulls

# Hashes held in memory while one document is compared with many: 32 MiB.
_HASHES_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 64


class MissingTextError(ExpectedError, ValueError):
    """A document whose shingles are needed is not among the tables."""


@dataclass(frozen=True)
class Likeness:
    """How alike the shingle sets A and B of each of some pairs are.

    Attributes:
        jaccard: `(pairs,)` |A ∩ B| / |A ∪ B|.
        contained: `(pairs,)` |A ∩ B| / |A|: how much of the first is in the second.
    """

    jaccard: npt.NDArray[np.float64]
    contained: npt.NDArray[np.float64]

    def at(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Likeness:
        """Of those pairs."""
        return Likeness(self.jaccard[chosen], self.contained[chosen])

    @staticmethod
    def of(
        shared: npt.NDArray[np.int64], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> Likeness:
        """Of pairs of sets that share so many of so many shingles."""
        return Likeness(shared / (first + second - shared), shared / first)

    def followed_by(self, other: Likeness) -> Likeness:
        """These pairs, then the other ones."""
        return Likeness(
            np.concatenate([self.jaccard, other.jaccard]),
            np.concatenate([self.contained, other.contained]),
        )


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

    def shared(self, one: int, others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How many shingles one document shares with each of others, `(others,)`."""
        own = self._shingles_of(one)
        shared = np.empty(len(others), dtype=np.int64)
        begin, held = 0, 0
        for index, other in enumerate(others):
            held += int(self._sizes[other])
            if held >= _HASHES_AT_ONCE or index + 1 == len(others):
                shared[begin : index + 1] = self._count_shared(own, others[begin : index + 1])
                begin, held = index + 1, 0
        return shared

    def _count_shared(
        self, own: npt.NDArray[np.uint64], others: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        theirs = np.concatenate([self._shingles_of(int(other)) for other in others])
        at = np.searchsorted(own, theirs)
        at[at == len(own)] = 0
        starts = np.cumsum(self._sizes[others]) - self._sizes[others]
        hits: npt.NDArray[np.int64] = np.add.reduceat((own[at] == theirs).astype(np.int64), starts)
        return hits

    def shared_by(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The same of each pair, `(pairs,)`; pairs are sorted by their first member."""
        result = np.empty(len(pairs), dtype=np.int64)
        if not len(pairs):
            return result
        changes = np.flatnonzero(np.diff(pairs[:, 0])) + 1
        for begin, end in zip([0, *changes], [*changes, len(pairs)], strict=True):
            result[begin:end] = self.shared(int(pairs[begin, 0]), pairs[begin:end, 1])
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
            ids = table.column("doc_id").to_pylist()
            rows = [row for row, doc_id in enumerate(ids) if doc_id in wanted]
            for place in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[place : place + _ROWS_AT_ONCE]
                texts = without_nulls(table.column("text").take(some))
                for row, hashes in zip(some, all_shingle_hashes(texts, words), strict=True):
                    node = wanted[ids[row]]
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
