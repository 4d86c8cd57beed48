"""Laying documents into rows of equal length, every token exactly once.

A plan says which span of which document lies in which row; it holds no tokens. Best fit
follows Ding et al. 2024, "Fewer Truncations Improve Language Modeling": a document is cut only
where it is longer than a row, and what remains is placed best-fit decreasing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

Ints = NDArray[np.int64]


class TokenLossError(ExpectedError, RuntimeError):
    """A plan leaves out tokens, repeats some, or overfills a row: a fault in packing."""


@dataclass(frozen=True)
class Plan:
    """Segments in order of rows, and in a row in order of place.

    Attributes:
        document: int64 (segments,): index into the lengths the plan was made from.
        offset: int64 (segments,): where in the document the segment starts.
        length: int64 (segments,): its tokens, at least 1.
        row: int64 (segments,): its row, non-decreasing.
        rows: how many rows there are.
    """

    document: Ints
    offset: Ints
    length: Ints
    row: Ints
    rows: int


def concatenate(lengths: Ints, capacity: int) -> Plan:
    """Documents end to end, cut where a row is full; the last row alone may have room left.

    Args:
        lengths: int64 (documents,): tokens of each, at least 1.
        capacity: tokens of a row.
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    starts = ends - lengths
    cuts = np.union1d(starts, np.arange(0, total, capacity, dtype=np.int64))
    document = np.searchsorted(ends, cuts, side="right").astype(np.int64)
    length = np.diff(np.append(cuts, total))
    return Plan(document, cuts - starts[document], length, cuts // capacity, -(-total // capacity))


def best_fit(lengths: Ints, capacity: int) -> Plan:
    """Full rows of documents longer than a row; the rest best-fit decreasing.

    Each remainder, longest first and among equals in order of documents, goes into the row with
    the least room that is enough, or into a new one: O(n log n), as rooms are looked up in a bit
    set.

    Args:
        lengths: int64 (documents,): tokens of each, at least 1.
        capacity: tokens of a row.
    """
    full = lengths // capacity
    whole = np.repeat(np.arange(lengths.size), full)
    offset = (np.arange(whole.size) - np.repeat(np.cumsum(full) - full, full)) * capacity
    rest = lengths % capacity
    left = np.flatnonzero(rest)
    left = left[np.argsort(-rest[left], kind="stable")]
    bins, count = _bins(rest[left].tolist(), capacity)
    return _sort(
        np.concatenate([whole, left]),
        np.concatenate([offset, (full * capacity)[left]]),
        np.concatenate([np.full(whole.size, capacity, dtype=np.int64), rest[left]]),
        np.concatenate([np.arange(whole.size), bins + whole.size]),
        whole.size + count,
    )


def _bins(decreasing: list[int], capacity: int) -> tuple[Ints, int]:
    """The bin of each item, and the number of bins."""
    with_room: list[list[int]] = [[] for _ in range(capacity)]  # bins by the room they have left
    rooms = 0  # bit r is set where with_room[r] is not empty
    bins, count = [], 0
    for length in decreasing:
        enough = rooms >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1
            chosen = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, chosen = capacity, count
            count += 1
        if room > length:
            with_room[room - length].append(chosen)
            rooms |= 1 << (room - length)
        bins.append(chosen)
    return np.array(bins, dtype=np.int64), count


def shuffle(plan: Plan, keys: NDArray[np.uint64]) -> Plan:
    """The same rows in another order, and their segments too.

    A row goes where the key of its first segment puts it; the least key of a row would be no
    fair draw, since it falls with the number of segments. Segments are then ordered by key: best
    fit puts the longest first, which would teach where in a row long documents lie.

    Args:
        keys: uint64 (segments,): a uniform draw for each.
    """
    first = np.flatnonzero(np.diff(plan.row, prepend=-1))
    rank = np.empty(plan.rows, dtype=np.int64)
    rank[np.argsort(keys[first], kind="stable")] = np.arange(plan.rows)
    row = rank[plan.row]
    order = np.lexsort((keys, row))
    return Plan(plan.document[order], plan.offset[order], plan.length[order], row[order], plan.rows)


def check(plan: Plan, lengths: Ints, capacity: int) -> None:
    """Make sure each token of each document lies in exactly one place and every row holds.

    Raises:
        TokenLossError: names the first document or row for which it is not so.
    """
    order = np.lexsort((plan.offset, plan.document))
    document, offset, length = plan.document[order], plan.offset[order], plan.length[order]
    before = np.cumsum(length) - length
    first = np.searchsorted(document, document, side="left")
    gap = np.flatnonzero(offset != before - before[first])
    placed = np.bincount(document, weights=length, minlength=lengths.size).astype(np.int64)
    wrong = np.flatnonzero(placed != lengths)
    if gap.size or wrong.size:
        bad = int(document[gap[0]] if gap.size else wrong[0])
        raise TokenLossError(
            f"document {bad} of {lengths.size}: {int(lengths[bad])} tokens, {int(placed[bad])} "
            "placed, or not end to end"
        )
    filled = np.bincount(plan.row, weights=plan.length, minlength=plan.rows)
    if plan.rows and (filled.max() > capacity or filled.min() < 1):
        raise TokenLossError(f"rows hold {filled.min():.0f} to {filled.max():.0f} of {capacity}")


def _sort(document: Ints, offset: Ints, length: Ints, row: Ints, rows: int) -> Plan:
    order = np.argsort(row, kind="stable")
    return Plan(document[order], offset[order], length[order], row[order], rows)
