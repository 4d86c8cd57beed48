"""Partitions: who is in which, whatever comes and goes, and that a list vouches for tokens."""

from __future__ import annotations

from functools import partial

import pyarrow as pa
import pytest

from llm.tokens.partitions import (
    OtherTokensError,
    divided,
    listed,
    tokens_of_partition,
)


def table(**documents: list[int]) -> pa.Table:
    rows = [
        {"doc_id": name, "split": "train", "source": None, "bytes": len(name), "tokens": tokens}
        for name, tokens in documents.items()
    ]
    return pa.Table.from_pylist(rows).cast(
        pa.schema(
            [
                pa.field("doc_id", pa.string(), nullable=False),
                pa.field("split", pa.string(), nullable=False),
                pa.field("source", pa.string()),
                pa.field("bytes", pa.int64(), nullable=False),
                pa.field("tokens", pa.list_(pa.int32()), nullable=False),
            ]
        )
    )


def ids(found: dict[int, pa.Table]) -> dict[int, list[str]]:
    return {number: rows.column("doc_id").to_pylist() for number, rows in found.items()}


FEW = [table(river=[1, 2], alder=[3]), table(mill=[4, 5, 6])]


def test_documents_are_listed_in_order_with_what_their_tokens_are() -> None:
    found = listed(FEW)
    assert found.column("doc_id").to_pylist() == ["alder", "mill", "river"]
    assert found.column("length").to_pylist() == [1, 3, 2]
    assert found.equals(listed([table(mill=[4, 5, 6], river=[1, 2], alder=[3])]))
    other = listed([table(river=[1, 2], alder=[7]), FEW[1]])
    same = [left == right for left, right in zip(found.to_pylist(), other.to_pylist(), strict=True)]
    assert same == [False, True, True]
    assert listed([]).num_rows == 0


def test_who_is_in_a_partition_stays_there_and_the_others_make_a_new_one() -> None:
    everything = listed([*FEW, table(oak=[8], weir=[9])])
    assert ids(divided(everything, [])) == {0: ["alder", "mill", "oak", "river", "weir"]}
    before = [(0, listed([FEW[0]])), (3, listed([table(weir=[1], gone=[2])]))]
    assert ids(divided(everything, before)) == {
        0: ["alder", "river"],
        3: ["weir"],
        4: ["mill", "oak"],
    }
    assert ids(divided(listed(FEW), before)) == {0: ["alder", "river"], 4: ["mill"]}
    assert divided(listed([]), before) == {}


def test_tokens_are_those_that_were_listed() -> None:
    parts = [partial(one.select) for one in [*FEW, table(oak=[8])]]
    own = listed([table(mill=[4, 5, 6], river=[1, 2])])
    found = {
        row["doc_id"]: row["tokens"]
        for rows in tokens_of_partition(own, parts)
        for row in rows.to_pylist()
    }
    assert found == {"mill": [4, 5, 6], "river": [1, 2]}
    for wrong in (table(mill=[4, 5, 7], river=[1, 2]), table(mill=[4, 5, 6], lost=[1])):
        with pytest.raises(OtherTokensError):
            list(tokens_of_partition(listed([wrong]), parts))
