"""Which rows are new to a model, and which of the others are repeated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.tokens.replay import drawn, new_tokens, train_documents, wanted_rows

ROWS = pa.table(
    {
        "doc_ids": pa.array([["a", "b"], ["a", "c", "d"], [], ["d"]], pa.list_(pa.string())),
        "doc_lengths": pa.array([[5, 3], [1, 2, 4], [], [8]], pa.list_(pa.int32())),
    }
)


def test_tokens_of_documents_that_are_new() -> None:
    seen = pa.array(["b", "a"], pa.string())
    assert new_tokens(ROWS, seen).tolist() == [0, 6, 0, 8]
    assert new_tokens(ROWS.slice(1), seen).tolist() == [6, 0, 8]
    assert new_tokens(ROWS, pa.array([], pa.string())).tolist() == [8, 7, 0, 8]
    assert new_tokens(ROWS.slice(0, 0), seen).tolist() == []


def test_what_was_held_out_was_not_learned_from() -> None:
    tables = [
        pa.table({"doc_id": ["a", "b"], "split": ["train", "validation"]}),
        pa.table({"doc_id": ["c"], "split": ["train"]}),
    ]
    assert train_documents(tables).to_pylist() == ["a", "c"]
    assert train_documents([]).to_pylist() == []


@pytest.mark.parametrize(
    ("new", "seen", "at_least", "share", "wanted"),
    [
        (10, 1000, 0, 0.5, 10),  # as many as are new
        (10, 1000, 100, 0.5, 90),  # filled up to the length of the run
        (10, 1000, 5, 0.0, 0),  # new rows are never left out
        (30, 1000, 40, 0.75, 90),  # three of four
        (10, 50, 100, 0.5, 50),  # all there are
        (0, 50, 0, 0.5, 0),
        (1, 50, 0, 0.5, 1),
        (3, 50, 0, 0.3, 2),  # at least the share: two of five
    ],
)
def test_how_many_are_repeated(
    new: int, seen: int, at_least: int, share: float, wanted: int
) -> None:
    assert wanted_rows(new, seen, at_least, share) == wanted


@given(st.integers(0, 200), st.data(), st.integers(0, 2**63 - 1))
def test_so_many_are_drawn_and_the_same_ones_again(of: int, data: st.DataObject, seed: int) -> None:
    wanted = data.draw(st.integers(0, of))
    chosen = drawn(of, wanted, seed)
    assert chosen.sum() == wanted
    assert np.array_equal(chosen, drawn(of, wanted, seed))
    if 0 < wanted < of > 60 and wanted > 20 and of - wanted > 20:
        assert not np.array_equal(chosen, drawn(of, wanted, seed ^ 1))
