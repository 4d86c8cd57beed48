"""Plans of rows: the law that each token lies in one place, and best fit against its definition."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.tokens.packing import Plan, TokenLossError, best_fit, check, concatenate, shuffle

LENGTHS = st.lists(st.integers(1, 40), max_size=40)
CAPACITY = st.integers(2, 24)


def places(plan: Plan) -> list[tuple[int, int]]:
    """(document, position in it) of every token of the plan."""
    return [
        (document, offset + step)
        for document, offset, length in zip(
            plan.document.tolist(), plan.offset.tolist(), plan.length.tolist(), strict=True
        )
        for step in range(length)
    ]


def every(lengths: list[int]) -> list[tuple[int, int]]:
    return [(document, at) for document, length in enumerate(lengths) for at in range(length)]


def rows_of(plan: Plan) -> list[list[tuple[int, int, int]]]:
    rows: list[list[tuple[int, int, int]]] = [[] for _ in range(plan.rows)]
    columns = (plan.row, plan.document, plan.offset, plan.length)
    for row, *segment in zip(*(column.tolist() for column in columns), strict=True):
        rows[row].append(tuple(segment))
    return rows


def naive_best_fit_decreasing(items: list[int], capacity: int) -> list[int]:
    """Room left in each bin, by the definition."""
    rooms: list[int] = []
    for item in sorted(items, reverse=True):
        fitting = [room for room in rooms if room >= item]
        if fitting:
            rooms[rooms.index(min(fitting))] -= item
        else:
            rooms.append(capacity - item)
    return sorted(rooms)


@given(LENGTHS, CAPACITY, st.sampled_from([best_fit, concatenate]), st.integers(0, 9))
def test_every_token_once_and_no_row_overfull(lengths, capacity, strategy, seed) -> None:
    given_lengths = np.array(lengths, dtype=np.int64)
    plan = strategy(given_lengths, capacity)
    mixed = shuffle(plan, np.random.default_rng(seed).integers(0, 2**63, plan.row.size, np.uint64))
    for found in (plan, mixed):
        check(found, given_lengths, capacity)
        assert sorted(places(found)) == every(lengths)
        sizes = [sum(length for *_, length in row) for row in rows_of(found)]
        assert all(1 <= size <= capacity for size in sizes)
        assert found.row.tolist() == sorted(found.row.tolist())
    assert sorted(map(sorted, rows_of(plan))) == sorted(map(sorted, rows_of(mixed)))


@given(LENGTHS, CAPACITY)
def test_concatenation_keeps_the_order_and_fills_all_rows_but_the_last(lengths, capacity) -> None:
    plan = concatenate(np.array(lengths, dtype=np.int64), capacity)
    assert places(plan) == every(lengths)
    sizes = [sum(length for *_, length in row) for row in rows_of(plan)]
    assert all(size == capacity for size in sizes[:-1])
    assert plan.rows == -(-sum(lengths) // capacity)


@given(LENGTHS, CAPACITY)
def test_best_fit_is_best_fit_decreasing_and_cuts_only_long_documents(lengths, capacity) -> None:
    plan = best_fit(np.array(lengths, dtype=np.int64), capacity)
    pieces = np.bincount(plan.document, minlength=len(lengths)).tolist()
    assert pieces == [-(-length // capacity) for length in lengths]
    rests = [length % capacity for length in lengths if length % capacity]
    sizes = [sum(length for *_, length in row) for row in rows_of(plan)]
    full = sum(length // capacity for length in lengths)
    rooms = naive_best_fit_decreasing(rests, capacity)
    assert sorted(capacity - size for size in sizes) == sorted(rooms + [0] * full)


def test_best_fit_of_a_known_case() -> None:
    plan = best_fit(np.array([5, 23, 4, 6, 1]), 10)
    assert rows_of(plan) == [
        [(1, 0, 10)],
        [(1, 10, 10)],
        [(3, 0, 6), (2, 0, 4)],
        [(0, 0, 5), (1, 20, 3), (4, 0, 1)],
    ]


def test_best_fit_wastes_little_on_many_documents() -> None:
    lengths = np.random.default_rng(0).lognormal(5.5, 1.2, 20_000).astype(np.int64) + 1
    plan = best_fit(lengths, 1025)
    check(plan, lengths, 1025)
    assert plan.rows * 1025 < 1.001 * lengths.sum()


def test_where_a_row_goes_does_not_depend_on_how_many_segments_it_has() -> None:
    lengths = np.array([10] * 500 + [1] * 5000)
    plan = best_fit(lengths, 10)
    keys = np.random.default_rng(1).integers(0, 2**63, plan.row.size, np.uint64)
    mixed = shuffle(plan, keys)
    short = [index for index, row in enumerate(rows_of(mixed)) if len(row) > 1]
    assert 430 < np.mean(short) < 570  # of 1,000 rows; standard error 13


@pytest.mark.parametrize(
    "change",
    [
        {"length": np.array([10, 2, 2])},  # overlaps
        {"offset": np.array([0, 11, 0])},  # leaves a gap
        {"document": np.array([0, 0, 0])},  # loses a document
        {"row": np.array([0, 0, 0])},  # overfills a row
    ],
)
def test_a_plan_that_loses_tokens_is_caught(change: dict) -> None:
    plan, lengths = best_fit(np.array([12, 1]), 10), np.array([12, 1])
    check(plan, lengths, 10)
    with pytest.raises(TokenLossError):
        check(dataclasses.replace(plan, **change), lengths, 10)
