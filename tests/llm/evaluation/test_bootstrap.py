"""Intervals against what statistics says they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm.evaluation.bootstrap import Estimate, difference, estimate
from llm.evaluation.compression import XZ
from llm.evaluation.measure import Measure, mean
from llm.evaluation.score_tables import Score, headline, score_table


def units(n: int) -> tuple[str, ...]:
    return tuple(f"{number:04}" for number in range(n))


def test_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=400)
    found = estimate(mean("m", units(400), values), 2_000, 0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert found.n == 400
    assert estimate(mean("m", units(400), values), 2_000, 0) == found
    assert estimate(mean("m", units(400), values), 2_000, 1) != found


def test_a_ratio_weighs_units_by_their_size() -> None:
    measure = Measure("bits", units(3), np.array([8.0, 2.0, 2.0]), np.array([2.0, 1.0, 1.0]))
    found = estimate(measure, 500, 0)
    assert found.value == 3.0  # not the mean of the ratios, 8/3
    assert found.low == 2.0
    assert found.high == 4.0


def test_one_unit_has_no_interval() -> None:
    assert estimate(mean("m", ("a",), np.array([2.0])), 100, 0) == Estimate(2.0, None, None, 1)


def test_pairs_see_a_difference_that_two_intervals_do_not() -> None:
    hard = np.random.default_rng(2).normal(0, 10, size=200)
    noise = np.random.default_rng(3).normal(0, 0.1, size=200)
    before, after = mean("m", units(200), hard), mean("m", units(200), hard - 0.5 + noise)
    changed = difference(after, before, 1_000, 0)
    assert changed is not None
    assert changed.low is not None
    assert changed.high is not None
    assert -0.55 < changed.low < changed.value < changed.high < -0.45
    apart = [estimate(measure, 1_000, 0) for measure in (before, after)]
    assert apart[0].low < apart[1].value < apart[0].high  # type: ignore[operator]


def test_differences_are_taken_on_shared_units_whatever_their_order() -> None:
    before = mean("m", ("a", "b", "c"), np.array([1.0, 2.0, 100.0]))
    after = mean("m", ("d", "b", "a"), np.array([-100.0, 4.0, 2.0]))
    changed = difference(after, before, 200, 0)
    assert changed is not None
    assert (changed.value, changed.n) == (1.5, 2)
    assert (changed.low, changed.high) == (1.0, 2.0)
    assert difference(mean("m", ("x",), np.array([1.0])), before, 200, 0) is None


def test_headline_and_table() -> None:
    scores = [
        Score("base", "bits_per_byte", Estimate(1.5, 1.4, 1.6, 9)),
        Score("sft", "completion_loss_change", Estimate(-0.25, None, None, 1)),
        Score(XZ, "bits_per_byte", Estimate(2.0, None, None, 9)),
    ]
    assert headline(scores) == {
        "bits_per_byte_over_xz": {"base": 0.75},
        "completion_loss_change": {"sft": -0.25},
    }
    assert score_table(scores).to_pylist()[1] == {
        "model": "sft",
        "metric": "completion_loss_change",
        "value": -0.25,
        "low": None,
        "high": None,
        "n": 1,
    }
