"""What was decided earlier about documents that are there still, for a corpus that only grows.

What was kept comes first in keep order, so that no new document takes its place, and stays: of two
that were kept one may be contained in the other, if the longer came later. A group of
near-duplicates stays on its side of the split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Earlier:
    """Of each signed document, in ascending order of doc_id.

    Attributes:
        kept: `(documents,)` bool: it was kept; false of a new one.
        group: `(documents,)` int64: the row of the document its split group was called by; -1 of a
            new one, and where that document is gone.
        stays: by the levels of that time, so what was kept is not removed for another such; false:
            by others, so it may be.
    """

    kept: npt.NDArray[np.bool_]
    group: npt.NDArray[np.int64]
    stays: bool

    @classmethod
    def of(
        cls, doc_ids: npt.NDArray[np.bytes_], decisions: Iterable[pa.Table], stays: bool
    ) -> Earlier:
        """From tables of `DECISIONS`.

        Args:
            doc_ids: `(documents,)` of the signed documents, ascending.
            stays: see the attribute.
        """
        kept = np.zeros(len(doc_ids), dtype=np.bool_)
        group = np.full(len(doc_ids), -1, dtype=np.int64)
        for table in decisions:
            ids = table.column("doc_id").to_pylist()
            named = zip(table.column("split_group").to_pylist(), ids, strict=True)
            rows = _rows(doc_ids, ids)
            here = rows >= 0
            kept[rows[here]] = table.column("kept").to_numpy()[here]
            group[rows[here]] = _rows(doc_ids, [name or alone for name, alone in named])[here]
        return cls(kept, group, stays)

    def first(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """A keep order with what was kept in front, else as it was."""
        result: npt.NDArray[np.int64] = order[np.argsort(~self.kept[order], kind="stable")]
        return result

    def staying(self, rows: npt.NDArray[np.int64]) -> int:
        """How many of the first of these rows, in the order of `first`, are not to be removed."""
        return int(np.count_nonzero(self.kept[rows])) if self.stays else 0

    def settled(
        self, group: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Groups by the names they had: of several that are one now, by that of the document which
        is first in keep order.

        Args:
            group: `(documents,)` a row of each group.
        """
        known = order[self.group[order] >= 0]
        groups, place = np.unique(group[known], return_index=True)
        name = np.arange(len(group))
        name[groups] = self.group[known][place]
        result: npt.NDArray[np.int64] = name[group]
        return result


def _rows(doc_ids: npt.NDArray[np.bytes_], names: list[str]) -> npt.NDArray[np.int64]:
    """Row of each name, -1 where there is none."""
    if not len(doc_ids) or not names:
        return np.full(len(names), -1, dtype=np.int64)
    wanted = np.array([name.encode() for name in names], dtype="S")
    at = np.minimum(np.searchsorted(doc_ids, wanted), len(doc_ids) - 1)
    found: npt.NDArray[np.int64] = np.where(doc_ids[at] == wanted, at, -1)
    return found
