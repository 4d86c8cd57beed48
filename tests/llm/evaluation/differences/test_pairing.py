"""What may be compared: the same items, which count the same."""

from __future__ import annotations

import numpy as np
import pytest

from llm.evaluation.differences.pairing import (
    DifferentItemsError,
    DifferentWeightsError,
    Pair,
    pair,
)
from llm.evaluation.measure import Measure, mean


def test_items_are_matched_whatever_their_order() -> None:
    before = Measure("m", ("a", "b", "c"), np.array([1.0, 2, 3]), np.array([1.0, 2, 4]))
    after = Measure("m", ("c", "a", "b"), np.array([4.0, 1, 1]), np.array([4.0, 1, 2]))
    found = pair(before, after, shared=False)
    assert (found.n, found.left_out) == (3, 0)
    assert found.change.ids == ("a", "b", "c")
    assert found.change.numerators.tolist() == [0, -1, 1]
    assert found.change.value == pytest.approx(after.value - before.value)


def test_different_items_are_refused_and_counted() -> None:
    before = mean("arc", ("a", "b", "c"), np.zeros(3))
    after = mean("arc", ("b", "c", "d"), np.ones(3))
    with pytest.raises(
        DifferentItemsError,
        match=r"arc: .* different items: 2 both, 1 only the first \(such as 'a'\), 1 only the "
        r"second \(such as 'd'\); compare on those they share",
    ):
        pair(before, after, shared=False)
    found = pair(before, after, shared=True)
    assert (found.change.ids, found.left_out) == (("b", "c"), 2)
    with pytest.raises(DifferentItemsError, match=r"0 both.*measured on the same data"):
        pair(before, mean("arc", ("x",), np.ones(1)), shared=True)


def test_items_that_weigh_otherwise_are_refused() -> None:
    before = Measure("loss", ("a", "b"), np.ones(2), np.array([5.0, 7.0]))
    after = Measure("loss", ("a", "b"), np.ones(2), np.array([5.0, 8.0]))
    with pytest.raises(
        DifferentWeightsError, match=r"1 of 2 items .* 'b', 7 and 8: .* different tokenizers"
    ):
        pair(before, after, shared=False)


def test_verdicts_are_told_by_both_sides() -> None:
    yes = mean("m", ("a", "b"), np.array([1.0, 0.0]))
    half = mean("m", ("a", "b"), np.array([1.0, 0.5]))
    assert Pair(yes, yes, 0).is_of_verdicts
    assert not Pair(yes, half, 0).is_of_verdicts
