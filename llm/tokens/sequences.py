"""A plan and the tokens it speaks of, as rows to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.tokens.draw import draw
from llm.tokens.flat_tokens import FlatTokens
from llm.tokens.packing import Plan, best_fit, check, concatenate, shuffle

SEQUENCES = pa.schema(
    [
        pa.field("sequence_id", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
        pa.field("doc_ids", pa.list_(pa.string()), nullable=False),
        pa.field("doc_offsets", pa.list_(pa.int32()), nullable=False),
        pa.field("doc_lengths", pa.list_(pa.int32()), nullable=False),
    ]
)
# A further column, where rows are of one source each; null where a row has several.
SOURCE = pa.field("source", pa.string())
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Packed:
    """A split, planned.

    Attributes:
        plan: its `document` counts uses, since a document may be used more than once.
        start: int64 (uses,): where the document of a use starts in the flat file.
        doc_id: of each use.
        length: int64 (uses,): its tokens.
        capacity: tokens of a row.
    """

    plan: Plan
    start: NDArray[np.int64]
    doc_id: pa.Array
    length: NDArray[np.int64]
    capacity: int

    @property
    def tokens(self) -> int:
        """Tokens in the rows, padding apart."""
        return int(self.plan.length.sum())

    @property
    def padding(self) -> int:
        """Tokens of padding in the rows."""
        return self.plan.rows * self.capacity - self.tokens


def pack(
    index: pa.Table, uses: NDArray[np.int64], capacity: int, strategy: str, seed: int | None
) -> Packed:
    """Plan the rows of one split.

    Documents come in order of doc_id, first all for their first use, then those with a second,
    and so on.

    Args:
        index: of `FlatTokens`, the documents of one split.
        uses: int64 (documents,): how often each is used.
        strategy: "best_fit" or "concatenate".
        seed: of the shuffle of rows and of the segments in them; `None` keeps the order.

    Raises:
        TokenLossError: the plan does not hold every token exactly once; a fault, never data.
    """
    rounds = [np.flatnonzero(uses > turn) for turn in range(int(uses.max(initial=0)))]
    document = np.concatenate([np.empty(0, dtype=np.int64), *rounds])
    turn = np.repeat(np.arange(len(rounds)), [len(each) for each in rounds])
    length = index.column("length").to_numpy()[document]
    ids = index.column("doc_id").combine_chunks().take(pa.array(document))
    planner = {"best_fit": best_fit, "concatenate": concatenate}[strategy]
    plan = planner(length, capacity)
    if seed is not None:
        names, offsets = ids.to_pylist(), plan.offset.tolist()
        keys = [
            draw(seed, "shuffle", names[use], offsets[place], int(turn[use]))
            for place, use in enumerate(plan.document.tolist())
        ]
        plan = shuffle(plan, np.array(keys, dtype=np.uint64))
    check(plan, length, capacity)
    return Packed(plan, index.column("start").to_numpy()[document], ids, length, capacity)


def rows(packed: Packed, flat: FlatTokens, split: str, pad: int, first: int) -> Iterator[pa.Table]:
    """Tables of `SEQUENCES`, in order of rows.

    Args:
        pad: the token rows are filled up with at their end.
        first: sequence_id of the first row; the others count on.
    """
    plan = packed.plan
    bounds = np.searchsorted(plan.row, np.arange(plan.rows + 1))
    for begin in range(0, plan.rows, _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, plan.rows)
        segments = slice(int(bounds[begin]), int(bounds[end]))
        document, offset = plan.document[segments], plan.offset[segments]
        length, row = plan.length[segments], plan.row[segments] - begin
        tokens = np.full((end - begin, packed.capacity), pad, dtype=np.int32)
        place = np.cumsum(length) - length
        place -= place[np.searchsorted(row, row, side="left")]  # a row starts at its own 0
        starts = packed.start[document] + offset
        for at, where, start, size in zip(
            row.tolist(), place.tolist(), starts.tolist(), length.tolist(), strict=True
        ):
            tokens[at, where : where + size] = flat.span(start, size)
        yield pa.table(
            [
                pa.array(np.arange(first + begin, first + end)),
                pa.array([split] * (end - begin), pa.string()),
                _lists(pa.array(tokens.ravel()), np.arange(end - begin + 1) * packed.capacity),
                _lists(
                    packed.doc_id.take(pa.array(document)),
                    bounds[begin : end + 1] - bounds[begin],
                ),
                _lists(pa.array(offset.astype(np.int32)), bounds[begin : end + 1] - bounds[begin]),
                _lists(pa.array(length.astype(np.int32)), bounds[begin : end + 1] - bounds[begin]),
            ],
            schema=SEQUENCES,
        )


def length_histogram(lengths: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Documents by length, in bins that double: edges 1, 2, 4, …, and a count between each two."""
    if not lengths.size:
        return [1, 2], [0]
    powers = int(lengths.max()).bit_length()
    edges = [1 << power for power in range(powers + 1)]
    counts: Sequence[int] = np.histogram(lengths, bins=edges)[0].tolist()
    return edges, list(counts)


def _lists(values: pa.Array, offsets: NDArray[np.int64]) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)
