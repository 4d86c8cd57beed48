"""The rows that every measure is the sum of, written and read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm.evaluation.items import ITEMS, ItemsError, direction, item_table, read_measures
from llm.evaluation.measure import Measure, mean


def test_what_is_written_is_read_and_adds_up() -> None:
    bits = Measure("bits_per_byte", ("a", "b:2"), np.array([8.0, 3.0]), np.array([4.0, 2.0]))
    right = mean("arc", ("a", "q"), np.array([1.0, 0.0]))
    table = item_table("base", [bits, right])
    assert table.schema == ITEMS
    assert table.to_pylist()[1] == {
        "model": "base",
        "measure": "bits_per_byte",
        "item": "b:2",
        "value": 3.0,
        "weight": 2.0,
    }
    found = read_measures(table)["base"]
    assert list(found) == ["bits_per_byte", "arc"]
    assert found["bits_per_byte"].value == bits.value == 11 / 6
    assert found["arc"].ids == ("a", "q")
    assert read_measures(item_table("base", [])) == {}


@pytest.mark.parametrize(
    ("ids", "values", "weights", "message"),
    [
        (("a", "b", "a"), (1, 1, 1), (1, 1, 1), "bpb of base: item 'a' stands twice"),
        (("a", "b"), (1, math.nan), (1, 1), "item 'b' has value nan .* may have diverged"),
        (("a", "b"), (1, 1), (1, -1), "item 'b' has value 1.0 and weight -1.0"),
        (("a",), (1,), (0,), "item 'a' has value 1.0 and weight 0.0"),
    ],
)
def test_rows_that_make_no_figure(
    ids: tuple[str, ...], values: tuple[float, ...], weights: tuple[float, ...], message: str
) -> None:
    measure = Measure("bpb", ids, np.array(values, float), np.array(weights, float))
    with pytest.raises(ItemsError, match=message):
        item_table("base", [measure])


def test_which_way_is_better() -> None:
    def of(name: str, *values: float) -> int:
        ids = tuple(str(number) for number in range(len(values)))
        return direction(mean(name, ids, np.array(values)))

    assert of("bits_per_byte", 1.0, 0.5) == -1
    assert of("bits_per_byte/docs", 1.0, 0.5) == -1
    assert of("generated_tokens", 1.0, 0.0) == 0  # by its name, though these are like verdicts
    assert of("arc_easy", 1.0, 0.0) == 1
    assert of("arc_easy", 0.5, 0.0) == 0
