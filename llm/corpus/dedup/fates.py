"""What became of every document: kept or not, in which cluster, in which group of the split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.tables import CLUSTER_SIZE, DECISIONS


@dataclass(frozen=True)
class Fates:
    """Of each signed document, in ascending order of doc_id.

    Attributes:
        doc_ids: `(documents,)` bytes (dtype S).
        kept: `(documents,)` bool.
        cluster, group: `(documents,)` int64: the row of the smallest doc_id of its component, of
            pairs that remove and of all pairs; a group that had a name before keeps it.
    """

    doc_ids: npt.NDArray[np.bytes_]
    kept: npt.NDArray[np.bool_]
    cluster: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]

    @cached_property
    def cluster_sizes(self) -> npt.NDArray[np.int64]:
        """Documents of its cluster, `(documents,)`."""
        counts: npt.NDArray[np.int64] = np.bincount(self.cluster, minlength=len(self.cluster))
        return counts[self.cluster]

    @cached_property
    def shares_group(self) -> npt.NDArray[np.bool_]:
        """Whether its group has others or another's name, `(documents,)`."""
        shared: npt.NDArray[np.bool_] = np.bincount(self.group, minlength=len(self.group)) > 1
        others_name: npt.NDArray[np.bool_] = self.group != np.arange(len(self.group))
        return np.logical_or(shared[self.group], others_name)

    def decisions(self, doc_ids: pa.ChunkedArray, cluster_sizes: bool = False) -> pa.Table:
        """`DECISIONS` of these documents, in their order; one that was not signed is not kept.

        Args:
            cluster_sizes: with `CLUSTER_SIZE` behind.
        """
        names = np.array([name.encode() for name in doc_ids.to_pylist()], dtype="S")
        if not len(self.doc_ids) or not len(names):
            rows = np.zeros(len(names), dtype=np.int64)
            known = np.zeros(len(names), dtype=np.bool_)
        else:
            rows = np.minimum(np.searchsorted(self.doc_ids, names), len(self.doc_ids) - 1)
            known = self.doc_ids[rows] == names
        kept = np.zeros(len(names), dtype=np.bool_)
        kept[known] = self.kept[rows[known]]
        groups = [
            self.doc_ids[self.group[row]].decode() if here and self.group[row] != row else None
            for row, here in zip(rows.tolist(), known.tolist(), strict=True)
        ]
        table = pa.table([doc_ids, kept, pa.array(groups, pa.string())], schema=DECISIONS)
        if not cluster_sizes:
            return table
        sizes = np.ones(len(names), dtype=np.int64)
        sizes[known] = self.cluster_sizes[rows[known]]
        return table.append_column(CLUSTER_SIZE, pa.array(sizes))
