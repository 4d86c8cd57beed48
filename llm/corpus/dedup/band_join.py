"""Which pairs of signatures agree in a band: a join over partitions on disk.

Every band of every signature is an entry (key, node), where the key is a hash of the band's number
and values. Entries go to files by their key, so that those that agree lie in one; a file is then
sorted by itself, and its pairs go to other files by their later node, where the repeats (pairs that
agree in several bands) are dropped. In memory are one file, and the pairs that are let through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.corpus.dedup.lsh import Banding
from llm.corpus.dedup.signature_rows import SignatureRows

# Entries, or pairs, of a file: some 100 MB while it is sorted.
ENTRIES_A_FILE = 1 << 21
_ROWS_AT_ONCE = 1 << 14
_PAIRS_AT_ONCE = 1 << 20
_PAIR_FILES = 4  # for each of entries: a bucket has more pairs than members
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ENTRY = np.dtype([("key", "<u8"), ("node", "<i8")])

Filter = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Candidates:
    """Pairs that agree in a band.

    Attributes:
        pairs: `(pairs, 2)` int64, each (later, earlier) with later > earlier, sorted, no repeats:
            those that the filter let through.
        found: distinct pairs before the filter.
        oversized: `(members,)` int64 ascending, for each bucket too large to list its pairs.
    """

    pairs: npt.NDArray[np.int64]
    found: int
    oversized: list[npt.NDArray[np.int64]]


def candidate_pairs(
    signatures: SignatureRows,
    bandings: Sequence[Banding],
    bucket_cap: int,
    likely: Filter,
    scratch: Path,
    entries_a_file: int = ENTRIES_A_FILE,
) -> Candidates:
    """Pairs that agree in a band of any banding.

    Args:
        bucket_cap: buckets of more documents go to `oversized` instead of being listed.
        likely: given pairs `(pairs, 2)`, whether each is let through.
        scratch: an existing folder, as empty afterwards as before: 16 bytes for each band of each
            document, and 8 for each band a pair agrees in.

    Returns:
        Row numbers of `signatures`. Memory: some 50 bytes an entry of a file, 16 for each pair that
        is let through, and 8 for each member of an oversized bucket.
    """
    nodes = len(signatures)
    files = -(-nodes * sum(banding.bands for banding in bandings) // entries_a_file)
    entries = [scratch / f"entries-{number}.bin" for number in range(files)]
    codes = [scratch / f"pairs-{number}.bin" for number in range(_PAIR_FILES * files)]
    kept, total = [np.empty((0, 2), dtype=np.int64)], 0
    oversized: list[npt.NDArray[np.int64]] = []
    try:
        _write_entries(signatures, bandings, entries)
        for path in entries:
            for found in _pair_codes(path, nodes, bucket_cap, oversized):
                _append(found, found // nodes * len(codes) // nodes, codes)
            path.unlink(missing_ok=True)
        for path in codes:
            distinct = np.unique(_read(path, np.dtype("<i8")))
            total += len(distinct)
            for start in range(0, len(distinct), _PAIRS_AT_ONCE):
                some = distinct[start : start + _PAIRS_AT_ONCE]
                pairs = np.stack([some // nodes, some % nodes], axis=1)
                kept.append(pairs[likely(pairs)])
            path.unlink(missing_ok=True)
    finally:
        for path in (*entries, *codes):
            path.unlink(missing_ok=True)
    return Candidates(np.concatenate(kept), total, oversized)


def _write_entries(
    signatures: SignatureRows, bandings: Sequence[Banding], paths: Sequence[Path]
) -> None:
    for start in range(0, len(signatures), _ROWS_AT_ONCE):
        nodes = np.arange(start, min(start + _ROWS_AT_ONCE, len(signatures)))
        rows, found = signatures[nodes], []
        for number, banding in enumerate(bandings):
            for band in range(banding.bands):
                columns = rows[:, band * banding.rows : (band + 1) * banding.rows]
                found.append(np.empty(len(nodes), dtype=_ENTRY))
                found[-1]["key"], found[-1]["node"] = _band_keys(columns, number, band), nodes
        together = np.concatenate(found)
        # By the upper half of the key, which a product with less than 2^32 can take.
        place = (together["key"] >> np.uint64(32)) * np.uint64(len(paths)) >> np.uint64(32)
        _append(together, place.astype(np.int64), paths)


def _band_keys(band: npt.NDArray[np.uint32], banding: int, number: int) -> npt.NDArray[np.uint64]:
    """One 64-bit key a row; bands that differ share one with probability about 2^-64."""
    # Above what a value can reach, so that no value is taken for the number of a band.
    keys = np.full(len(band), 1 << 63 | number << 40 | banding << 32, dtype=np.uint64)
    for column in range(band.shape[1] + 1):
        if column:
            keys ^= band[:, column - 1].astype(np.uint64)
        keys *= _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return keys


def _append(values: npt.NDArray[Any], places: npt.NDArray[np.int64], paths: Sequence[Path]) -> None:
    """Each value to the end of the file at its place, in order."""
    if len(paths) < 1 << 16:  # of numbers so small NumPy sorts by digits, in linear time
        order = np.argsort(places.astype(np.uint16), kind="stable")
    else:
        order = np.argsort(places, kind="stable")
    values, bounds = values[order], np.searchsorted(places[order], np.arange(len(paths) + 1))
    for number in np.flatnonzero(np.diff(bounds)).tolist():
        with paths[number].open("ab") as stream:
            stream.write(values[bounds[number] : bounds[number + 1]].tobytes())


def _read(path: Path, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.fromfile(path, dtype=kind) if path.exists() else np.empty(0, dtype=kind)


def _pair_codes(
    path: Path, nodes: int, bucket_cap: int, oversized: list[npt.NDArray[np.int64]]
) -> Iterator[npt.NDArray[np.int64]]:
    """later * nodes + earlier of the pairs in one file of entries, in portions; large buckets are
    put to the others."""
    entries = _read(path, _ENTRY)
    # Not stably, which takes twice as long: members are put in order where there are several.
    order = np.argsort(entries["key"])
    keys, members = entries["key"][order], entries["node"][order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    sizes = np.diff(np.append(starts, len(keys)))
    for size in np.unique(sizes[sizes > 1]).tolist():
        chosen = starts[sizes == size]
        if size > bucket_cap:
            oversized.extend(np.sort(members[start : start + size]) for start in chosen.tolist())
            continue
        first, second = np.triu_indices(size, 1)
        at_once = max(_PAIRS_AT_ONCE // len(first), 1)
        for begin in range(0, len(chosen), at_once):
            buckets = np.sort(members[chosen[begin : begin + at_once, None] + np.arange(size)])
            yield (buckets[:, second] * nodes + buckets[:, first]).ravel()
