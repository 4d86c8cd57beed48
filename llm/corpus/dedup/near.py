"""Near-duplicates among signed documents: verified pairs, and who is kept.

Documents are nodes numbered in keep order: node 0 is the one to keep before all others. Node d
is removed exactly when a kept node k < d has Jaccard(d, k) ≥ threshold in a verified pair, or, by
a rule of its own, when enough of d is in k (`Levels.containment`). So no document goes because of
a chain of others, each a little different, and the kept set is the lexicographically first maximal
independent set of the graph of verified pairs.

**Buckets of a template.** A site whose pages share a template puts thousands of documents in one
bucket, and listing its pairs is quadratic. Buckets above the cap are not listed: nodes are gone
through in keep order, and each is compared with the *kept* members of its large buckets only.
A removed node can remove nobody, so the kept set is the same whatever the cap. Not looked at are
pairs with a removed document, and pairs already connected at the split level of which neither
can remove the other. What remains quadratic in the *kept* documents of one bucket is the
comparison of signatures, and that of shingles, some 5 µs each, where nothing connects.

**The estimate.** A candidate whose signatures agree in so few values that its Jaccard lies four
standard deviations below the split level is not verified (3 in 100,000 at that level are lost).
In large buckets the same distance below the removal level applies to pairs already connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm.corpus.dedup.band_join import candidate_pairs
from llm.corpus.dedup.components import DisjointSets, components
from llm.corpus.dedup.known_overlaps import KnownOverlaps
from llm.corpus.dedup.lsh import Banding
from llm.corpus.dedup.minhash import estimated_jaccard
from llm.corpus.dedup.shingle_store import Likeness, ShingleStore
from llm.corpus.dedup.signature_rows import SignatureRows

_DEVIATIONS = 4.0
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Levels:
    """The levels at which pairs matter.

    Attributes:
        removal, split: of the Jaccard index: 0.5 ≤ ... `split` ≤ `removal` ≤ 1.
        containment: from which share of its shingles in an earlier document a later one goes as
            well, their Jaccard index being `split` or more; 0 = never.
    """

    removal: float
    split: float
    containment: float

    def removes(self, found: Likeness) -> npt.NDArray[np.bool_]:
        """Whether the first of each pair goes, if the second is kept."""
        strong = found.jaccard >= self.removal
        if self.containment:
            strong |= (found.contained >= self.containment) & (found.jaccard >= self.split)
        return strong


@dataclass(frozen=True)
class Counts:
    """What the search cost.

    Attributes:
        candidates: distinct pairs that agree in a band, buckets above the cap aside.
        unlikely: of these, not verified because the estimate rules them out.
        known: of these, verified by an earlier search.
        oversized_buckets, largest_bucket: buckets above the cap, members of the largest.
        swept: comparisons verified while going through buckets above the cap.
        false: verified pairs below the split level.
    """

    candidates: int
    unlikely: int
    known: int
    oversized_buckets: int
    largest_bucket: int
    swept: int
    false: int


@dataclass(frozen=True)
class NearDuplicates:
    """Result over nodes.

    Attributes:
        pairs: `(pairs, 2)` int64, (later, earlier), sorted: the verified pairs at or above the
            split level; of the pairs of large buckets those that remove or connect.
        likeness: of each pair.
        keeper: `(nodes,)` int64: the kept node a node is removed for (the most similar, of
            equals the first), -1 if it is kept.
    """

    pairs: npt.NDArray[np.int64]
    likeness: Likeness
    keeper: npt.NDArray[np.int64]
    counts: Counts


def find_near_duplicates(
    signatures: SignatureRows,
    bandings: Sequence[Banding],
    levels: Levels,
    bucket_cap: int,
    sizes: npt.NDArray[np.int64],
    overlaps: KnownOverlaps | None,
    open_store: Callable[[npt.NDArray[np.int64]], ShingleStore],
    scratch: Path,
    settled: int,
) -> NearDuplicates:
    """Find pairs, verify them by true Jaccard, decide who is kept.

    Args:
        signatures: in keep order, each of a non-empty set of shingles.
        bucket_cap: members of a bucket up to which all its pairs are listed.
        sizes: `(nodes,)` shingles of each.
        overlaps: what is known of pairs; their texts are not needed.
        open_store: given the nodes that will be compared, ascending, their shingle sets.
        scratch: an existing folder, for the join of the bands.
        settled: that many of the first nodes stay, whatever they are like.
    """
    floor = levels.split - _DEVIATIONS * np.sqrt(levels.split * (1 - levels.split)) / np.sqrt(
        signatures.num_perm
    )

    def is_likely(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        likely: npt.NDArray[np.bool_] = _estimates(signatures, pairs) >= floor
        return likely

    found = candidate_pairs(signatures, bandings, bucket_cap, is_likely, scratch)
    likely = found.pairs
    shared = overlaps.shared(likely) if overlaps else np.full(len(likely), -1, dtype=np.int64)
    unknown = shared < 0
    store = open_store(np.unique(np.concatenate([likely[unknown].ravel(), *found.oversized])))
    shared[unknown] = store.shared_by(likely[unknown])
    if overlaps:
        overlaps.keep(likely, shared)
    alike = Likeness.of(shared, sizes[likely[:, 0]], sizes[likely[:, 1]])
    close = alike.jaccard >= levels.split
    sweep = _Sweep(signatures, sizes, store, levels, floor, settled)
    sweep.run(likely, alike, found.oversized)
    pairs = np.concatenate([likely[close], np.array(sweep.pairs, np.int64).reshape(-1, 2)])
    more = np.array(sweep.found, np.float64).reshape(-1, 2)
    likeness = alike.at(close).followed_by(Likeness(more[:, 0], more[:, 1]))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    counts = Counts(
        candidates=found.found,
        unlikely=found.found - len(likely),
        known=int(np.count_nonzero(~unknown)),
        oversized_buckets=len(found.oversized),
        largest_bucket=max((len(members) for members in found.oversized), default=0),
        swept=sweep.verified,
        false=int(np.count_nonzero(~close)) + sweep.false,
    )
    return NearDuplicates(pairs[order], likeness.at(order), sweep.keeper, counts)


def _estimates(signatures: SignatureRows, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    result = np.empty(len(pairs))
    for start in range(0, len(pairs), _ROWS_AT_ONCE):
        some = pairs[start : start + _ROWS_AT_ONCE]
        result[start : start + len(some)] = estimated_jaccard(
            signatures[some[:, 0]], signatures[some[:, 1]]
        )
    return result


class _Sweep:
    """One pass over the nodes in keep order; the fate of every earlier node is final."""

    def __init__(
        self,
        signatures: SignatureRows,
        sizes: npt.NDArray[np.int64],
        store: ShingleStore,
        levels: Levels,
        floor: float,
        settled: int,
    ) -> None:
        self._signatures, self._sizes, self._settled = signatures, sizes, settled
        self._store, self._levels = store, levels
        self._floor = floor
        # A pair already connected at the split level matters only if one may remove the other.
        lowest = levels.split if levels.containment else levels.removal
        self._removal_floor = lowest - (levels.split - floor)
        self._marked = np.zeros(len(sizes), dtype=np.bool_)
        self.keeper = np.full(len(sizes), -1, dtype=np.int64)
        self.pairs: list[tuple[int, int]] = []
        self.found: list[tuple[float, float]] = []  # Jaccard index, contained
        self.verified = self.false = 0

    def run(
        self,
        pairs: npt.NDArray[np.int64],
        alike: Likeness,
        oversized: Sequence[npt.NDArray[np.int64]],
    ) -> None:
        """Fill `keeper`, and `pairs` with those that only the sweep found."""
        nodes = len(self.keeper)
        forest = DisjointSets(components(nodes, pairs[alike.jaccard >= self._levels.split]))
        buckets_of: dict[int, list[int]] = {}
        for bucket, members in enumerate(oversized):
            for node in members.tolist():
                buckets_of.setdefault(node, []).append(bucket)
        kept = [np.empty(len(members), dtype=np.int64) for members in oversized]
        sizes = [0] * len(oversized)
        removing = np.unique(pairs[self._levels.removes(alike), 0])
        for node in np.union1d(removing, np.array(sorted(buckets_of), np.int64)).tolist():
            begin, end = np.searchsorted(pairs[:, 0], [node, node + 1])
            others, values = pairs[begin:end, 1], alike.at(slice(begin, end))
            buckets = buckets_of.get(node, ())
            more = self._unseen(others, [kept[bucket][: sizes[bucket]] for bucket in buckets])
            if len(more):
                more, found = self._verify(node, more, forest)
                others, values = np.append(others, more), values.followed_by(found)
            near = self._levels.removes(values) & (self.keeper[others] < 0)
            if near.any() and node >= self._settled:
                order = np.lexsort((others[near], -values.jaccard[near]))
                self.keeper[node] = others[near][order[0]]
                continue
            for bucket in buckets:
                kept[bucket][sizes[bucket]] = node
                sizes[bucket] += 1

    def _unseen(
        self, seen: npt.NDArray[np.int64], groups: Sequence[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64]:
        """The union of groups less those seen, ascending."""
        self._marked[seen] = True
        fresh = []
        for group in groups:
            new = group[~self._marked[group]]
            self._marked[new] = True
            fresh.append(new)
        result = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *fresh]))
        self._marked[seen] = False
        self._marked[result] = False
        return result

    def _verify(
        self, node: int, others: npt.NDArray[np.int64], forest: DisjointSets
    ) -> tuple[npt.NDArray[np.int64], Likeness]:
        """Those of others that had to be compared, and how alike the node is to each."""
        estimate = estimated_jaccard(self._signatures[node], self._signatures[others])
        removing = estimate >= self._removal_floor
        compared = [others[removing]]
        values = self._compare(node, compared[0], forest)
        # The others can only connect. One of a component is enough, so the most similar come
        # first, in growing portions: a template whose pages hang together costs a few each.
        rest = np.flatnonzero(~removing & (estimate >= self._floor))
        waiting = others[rest[np.argsort(-estimate[rest], kind="stable")]]
        portion = 1
        while len(waiting := waiting[forest.roots(waiting) != forest.root(node)]):
            compared.append(waiting[:portion])
            values = values.followed_by(self._compare(node, compared[-1], forest))
            waiting = waiting[portion:]
            portion *= 2
        return np.concatenate(compared), values

    def _compare(self, node: int, others: npt.NDArray[np.int64], forest: DisjointSets) -> Likeness:
        shared = self._store.shared(node, others)
        own = np.full(len(others), self._sizes[node])
        values = Likeness.of(shared, own, self._sizes[others])
        self.verified += len(others)
        close = values.jaccard >= self._levels.split
        self.false += len(others) - int(np.count_nonzero(close))
        removes = self._levels.removes(values)
        for place in np.flatnonzero(close).tolist():
            if forest.join(node, int(others[place])) or removes[place]:
                self.pairs.append((node, int(others[place])))
                self.found.append((values.jaccard[place], values.contained[place]))
        return values
