"""Deduplication of a corpus: exact, then near, with the evidence for every decision.

Documents with equal normalised text stand for one another; the first in keep order represents
them in the search for near-duplicates (`near_duplicates`). A removed document is an exact
duplicate of a kept one (reason "exact"), has Jaccard ≥ threshold with one ("near"), or is for the
most part in one ("contained").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.components import components
from llm.corpus.dedup.earlier import Earlier
from llm.corpus.dedup.fates import Fates
from llm.corpus.dedup.known_overlaps import KnownOverlaps
from llm.corpus.dedup.lsh import Banding
from llm.corpus.dedup.near import Counts, Levels, NearDuplicates, find_near_duplicates
from llm.corpus.dedup.shingle_store import Likeness, ShingleStore, write_shingles
from llm.corpus.dedup.signatures import Signatures
from llm.corpus.dedup.tables import CLUSTERS, CONTAINMENT, PAIRS
from llm.tables import REMOVED

EXACT = "exact"
NEAR = "near"
CONTAINED = "contained"
SPLIT = "split"


@dataclass(frozen=True)
class Search:
    """How near-duplicates are looked for.

    Attributes:
        bandings: of the signatures; pairs found by any are candidates.
        bucket_cap: members of a bucket up to which all its pairs are compared.
        words: words a shingle.
    """

    levels: Levels
    bandings: tuple[Banding, ...]
    bucket_cap: int
    words: int


@dataclass(frozen=True)
class Deduplicated:
    """Tables sorted by doc_id (pairs: then other_id), and counts.

    Attributes:
        pairs: of `PAIRS`, with `CONTAINMENT` where the levels have one.
        removed: doc_id, reason, value (Jaccard index, or share that is contained), threshold,
            detail (the doc_id kept instead).
        fates: what became of every document.
    """

    clusters: pa.Table
    pairs: pa.Table
    removed: pa.Table
    fates: Fates
    counts: Counts


def deduplicate(
    signatures: Signatures,
    order: npt.NDArray[np.int64],
    search: Search,
    tables: Callable[[], Iterable[pa.Table]],
    scratch: Path,
    known: Path | None = None,
    earlier: Earlier | None = None,
) -> Deduplicated:
    """Decide which documents go.

    Args:
        order: row numbers of `signatures` in keep order (`signatures.keep_order`).
        tables: the documents (doc_id, text), read once, for the texts that are compared.
        scratch: an existing folder for the join of the bands and the shingles of those texts; both
            are removed afterwards.
        known: a file in which searches by the same words a shingle remember what they compared.
        earlier: decisions that stay: see `Earlier`.
    """
    if earlier is not None:
        order = earlier.first(order)
    representative = _representatives(signatures.digests[order])
    alone = representative == np.arange(len(order))
    # Node k of the search is the document at place nodes[k] of the keep order.
    nodes = np.flatnonzero(alone & (signatures.shingles[order] > 0))
    path = scratch / "shingles.bin"
    overlaps = KnownOverlaps(known, signatures.digests[order[nodes]]) if known else None

    def open_store(wanted: npt.NDArray[np.int64]) -> ShingleStore:
        names = signatures.doc_ids[order[nodes[wanted]]]
        by_id = {name.decode(): node for name, node in zip(names, wanted.tolist(), strict=True)}
        return write_shingles(tables() if by_id else (), by_id, len(nodes), search.words, path)

    try:
        near = find_near_duplicates(
            signatures.minhash.chosen(order[nodes]),
            search.bandings,
            search.levels,
            search.bucket_cap,
            signatures.shingles[order[nodes]],
            overlaps,
            open_store,
            scratch,
            earlier.staying(order[nodes]) if earlier is not None else 0,
        )
    finally:
        path.unlink(missing_ok=True)
    report = _Report(signatures.doc_ids, order, representative, nodes, near, search.levels)
    return report.tables(earlier)


def _representatives(digests: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int64]:
    """Place of the first document with the same digest, `(documents,)`."""
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    result: npt.NDArray[np.int64] = first[group].astype(np.int64)
    return result


class _Report:
    """Turns places in the keep order into tables of doc_ids."""

    def __init__(
        self,
        doc_ids: npt.NDArray[np.bytes_],
        order: npt.NDArray[np.int64],
        representative: npt.NDArray[np.int64],
        nodes: npt.NDArray[np.int64],
        near: NearDuplicates,
        levels: Levels,
    ) -> None:
        self._ids, self._order, self._levels, self._near = doc_ids, order, levels, near
        copies = np.flatnonzero(representative != np.arange(len(order)))
        self._exact = np.stack([copies, representative[copies]], axis=1)
        self._close = nodes[near.pairs]
        self._strong = levels.removes(near.likeness)
        # The kept place each place is removed for, and how alike they are; -1 if it is kept.
        self._keeper = np.full(len(order), -1, dtype=np.int64)
        self._value = Likeness(np.ones(len(order)), np.ones(len(order)))
        lost = near.keeper >= 0
        self._keeper[nodes[lost]] = nodes[near.keeper[lost]]
        decided = near.keeper[near.pairs[:, 0]] == near.pairs[:, 1]
        removed = self._close[decided, 0]
        self._value.jaccard[removed] = near.likeness.jaccard[decided]
        self._value.contained[removed] = near.likeness.contained[decided]
        self._by_copy = self._keeper[self._exact[:, 1]] < 0
        first = self._exact[:, 1]
        self._keeper[copies] = np.where(self._by_copy, first, self._keeper[first])
        for values in (self._value.jaccard, self._value.contained):
            values[copies] = np.where(self._by_copy, 1.0, values[first])

    def tables(self, earlier: Earlier | None) -> Deduplicated:
        fates = self._fates(earlier)
        return Deduplicated(
            self._clusters(fates), self._pairs(), self._removed_table(), fates, self._near.counts
        )

    def _names(self, rows: npt.NDArray[np.int64]) -> pa.Array:
        return pa.array(self._ids[rows].tolist(), pa.binary()).cast(pa.string())

    def _fates(self, earlier: Earlier | None) -> Fates:
        total = len(self._order)
        strong = self._close[self._strong]
        # Components over row numbers: rows ascend by doc_id, so the smallest row names one.
        cluster = components(total, self._order[np.concatenate([self._exact, strong])])
        group = components(total, self._order[np.concatenate([self._exact, self._close])])
        if earlier is not None:
            group = earlier.settled(group, self._order)
        kept = np.empty(total, dtype=np.bool_)
        kept[self._order] = self._keeper < 0
        return Fates(self._ids, kept, cluster, group)

    def _clusters(self, fates: Fates) -> pa.Table:
        rows = np.flatnonzero(fates.shares_group)
        columns = [
            self._names(rows),
            self._names(fates.cluster[rows]),
            pa.array(fates.cluster_sizes[rows], pa.int64()),
            pa.array(fates.kept[rows]),
            self._names(fates.group[rows]),
        ]
        return pa.table(columns, schema=CLUSTERS)

    def _pairs(self) -> pa.Table:
        # A copy whose representative was removed as near-duplicate is removed for the same one.
        indirect = self._exact[~self._by_copy, 0]
        through = np.stack([indirect, self._keeper[indirect]], axis=1)
        pairs = np.concatenate([self._exact, self._close, through])
        copies = np.ones(len(self._exact))
        alike = Likeness(copies, copies).followed_by(self._near.likeness)
        alike = alike.followed_by(self._value.at(indirect))
        rules = np.where(self._levels.removes(alike), CONTAINED, SPLIT).astype(object)
        rules[alike.jaccard >= self._levels.removal] = NEAR
        rules[: len(self._exact)] = EXACT
        decisive = self._keeper[pairs[:, 0]] == pairs[:, 1]
        named = self._order[pairs]
        sequence = np.lexsort((named[:, 1], named[:, 0]))
        named, other = named[sequence], self._names(named[sequence, 1])
        columns = [
            self._names(named[:, 0]),
            other,
            pa.array(
                [
                    o if d else None
                    for o, d in zip(other.to_pylist(), decisive[sequence], strict=True)
                ],
                pa.string(),
            ),
            pa.array(alike.jaccard[sequence]),
            pa.array(rules[sequence].tolist(), pa.string()),
        ]
        found = pa.table(columns, schema=PAIRS)
        if self._levels.containment:
            found = found.append_column(CONTAINMENT, pa.array(alike.contained[sequence]))
        return found

    def _removed_table(self) -> pa.Table:
        places = np.flatnonzero(self._keeper >= 0)
        places = places[np.argsort(self._order[places])]
        exact = np.zeros(len(self._order), dtype=np.bool_)
        exact[self._exact[self._by_copy, 0]] = True
        near = self._value.jaccard[places] >= self._levels.removal
        reasons = np.where(near, NEAR, CONTAINED).astype(object)
        reasons[exact[places]] = EXACT
        thresholds = np.where(near, self._levels.removal, self._levels.containment)
        thresholds[exact[places]] = 1.0
        values = np.where(near, self._value.jaccard[places], self._value.contained[places])
        columns = [
            self._names(self._order[places]),
            pa.array(reasons.tolist(), pa.string()),
            pa.array(values),
            pa.array(thresholds),
            self._names(self._order[self._keeper[places]]),
        ]
        return pa.table(columns, schema=REMOVED)
