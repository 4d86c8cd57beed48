"""What was decided earlier: it leads the keep order, and groups keep their names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from llm.corpus.dedup.earlier import Earlier
from llm.corpus.dedup.tables import DECISIONS

IDS = np.array([b"a", b"b", b"c", b"d", b"e"])
DECIDED = pa.Table.from_pylist(
    [
        {"doc_id": "e", "kept": True, "split_group": "b"},
        {"doc_id": "b", "kept": False, "split_group": None},
        {"doc_id": "d", "kept": True, "split_group": None},
        {"doc_id": "gone", "kept": True, "split_group": None},
        {"doc_id": "c", "kept": True, "split_group": "gone"},
    ],
    schema=DECISIONS,
)


def test_what_was_kept_is_first_and_else_the_order_stays() -> None:
    earlier = Earlier.of(IDS, [DECIDED.slice(0, 2), DECIDED.slice(2)], True)
    assert earlier.kept.tolist() == [False, False, True, True, True]
    assert earlier.first(np.array([0, 4, 1, 3, 2])).tolist() == [4, 3, 2, 0, 1]


def test_a_group_has_the_name_it_had_and_a_joined_one_that_of_its_first() -> None:
    earlier = Earlier.of(IDS, [DECIDED], True)
    assert earlier.group.tolist() == [-1, 1, -1, 3, 1]
    order = earlier.first(np.arange(5))
    # a, new, with e; b alone, of the same name before; c and d each alone.
    assert earlier.settled(np.array([0, 1, 2, 3, 0]), order).tolist() == [1, 1, 2, 3, 1]
    # all in one: d comes before e in keep order.
    assert earlier.settled(np.zeros(5, np.int64), order).tolist() == [3] * 5


def test_nothing_decided_is_nothing_held() -> None:
    earlier = Earlier.of(IDS, [], True)
    order = np.array([3, 1, 0, 2, 4])
    assert earlier.first(order).tolist() == order.tolist()
    assert earlier.settled(np.array([0, 1, 1, 3, 3]), order).tolist() == [0, 1, 1, 3, 3]
    assert Earlier.of(IDS[:0], [DECIDED], True).kept.size == 0
