"""Locality-sensitive hashing by bands: which pairs of signatures are worth comparing.

Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4. A signature is cut into
`bands` of `rows` values; two documents with Jaccard s agree in at least one band with
probability 1 - (1 - s^rows)^bands. Fewer rows find more pairs and more false ones; since every
candidate is verified afterwards, `choose_banding` takes the recall that is asked for and then
the fewest false candidates, where datasketch's optimum weighs both alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm.errors import ExpectedError

# Points of the midpoint rule: the error is below 1e-6 for any banding of up to 1,024 values.
_STEPS = 2_000
# Pairs found, 8 bytes each, before repeats among them are dropped.
_CODES_AT_ONCE = 1 << 22
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class BandingError(ExpectedError, ValueError):
    """No banding of that many values reaches the recall asked for."""


@dataclass(frozen=True)
class Banding:
    """`bands` × `rows` values of a signature are used; those left over are not."""

    bands: int
    rows: int

    def probability(self, jaccard: float) -> float:
        """That a pair of this Jaccard becomes a candidate (the S-curve)."""
        return float(1.0 - (1.0 - jaccard**self.rows) ** self.bands)

    def recall(self, threshold: float) -> float:
        """Mean of `probability` over [threshold, 1]: expected recall for pairs spread evenly."""
        if threshold >= 1.0:
            return self.probability(1.0)
        width = (1.0 - threshold) / _STEPS
        points = threshold + (np.arange(_STEPS) + 0.5) * width
        return float(np.mean(1.0 - (1.0 - points**self.rows) ** self.bands))


def choose_banding(num_perm: int, threshold: float, recall: float) -> Banding:
    """The banding with most rows (fewest false candidates) whose predicted recall suffices.

    Raises:
        BandingError: not even bands of one row reach it.
    """
    for rows in range(num_perm, 0, -1):
        banding = Banding(num_perm // rows, rows)
        if banding.recall(threshold) >= recall:
            return banding
    best = Banding(num_perm, 1).recall(threshold)
    raise BandingError(
        f"recall {recall} over [{threshold}, 1] needs longer signatures than {num_perm} values "
        f"(at most {best:.4f} is reached); raise num_perm or lower the recall"
    )


@dataclass(frozen=True)
class Candidates:
    """Pairs that agree in a band.

    Attributes:
        pairs: `(pairs, 2)` int64, each (later, earlier) with later > earlier, sorted, no repeats.
        oversized: `(members,)` int64 ascending, for each bucket too large to list its pairs;
            in order of band.
    """

    pairs: npt.NDArray[np.int64]
    oversized: list[npt.NDArray[np.int64]]


def _band_keys(band: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """One 64-bit key a row; rows that differ share one with probability about 2^-64."""
    keys = np.zeros(len(band), dtype=np.uint64)
    for column in range(band.shape[1]):
        keys = (keys ^ band[:, column].astype(np.uint64)) * _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return keys


def _buckets(keys: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.int64]]:
    """Members that share a key, stacked by size of bucket: `(buckets, size)` with size ≥ 2."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(keys)))
    for size in np.unique(sizes[sizes > 1]):
        chosen = starts[sizes == size]
        yield order[chosen[:, None] + np.arange(size)]


def candidate_pairs(
    signatures: npt.NDArray[np.uint32], bandings: Sequence[Banding], bucket_cap: int
) -> Candidates:
    """Pairs that agree in a band of any banding.

    Args:
        signatures: `(documents, num_perm)`.
        bucket_cap: buckets of more documents go to `oversized` instead of being listed.

    Returns:
        Row numbers of `signatures`. Memory: some 30 bytes a distinct pair, and what a band adds.
    """
    count = len(signatures)
    oversized: list[npt.NDArray[np.int64]] = []
    if count < 2:
        return Candidates(np.empty((0, 2), dtype=np.int64), oversized)
    found, held = [np.empty(0, dtype=np.int64)], 0
    for banding in bandings:
        for band in range(banding.bands):
            columns = signatures[:, band * banding.rows : (band + 1) * banding.rows]
            for members in _buckets(_band_keys(columns)):
                size = members.shape[1]
                if size > bucket_cap:
                    oversized.extend(members)
                    continue
                first, second = np.triu_indices(size, 1)
                # Sorted stably, so members ascend and the second of two is the later one.
                found.append((members[:, second] * count + members[:, first]).ravel())
                held += found[-1].size
            if held > max(_CODES_AT_ONCE, found[0].size):
                found, held = [np.unique(np.concatenate(found))], 0
    codes = np.unique(np.concatenate(found))
    return Candidates(np.stack([codes // count, codes % count], axis=1), oversized)
