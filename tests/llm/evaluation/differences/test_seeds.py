"""Intervals that hold for other seeds too, against Student's t and against what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.differences.differences import Difference
from llm.evaluation.differences.seeds import with_seeds


def of_items(value: float, error: float) -> Difference:
    """A change whose items alone give it this standard error."""
    half = 1.959964 * error
    p = float(2 * stats.norm.sf(abs(value) / error)) if error else 0.0
    change = Estimate(value, value - half, value + half, 100)
    return Difference("m", 0.0, value, change, p, p, 2.8 * error, -1, None, None, 0)


def test_seeds_alone_give_students_interval() -> None:
    by_seed = [-0.2, -0.3, -0.25]
    mean = float(np.mean(by_seed))
    [found] = with_seeds([of_items(mean, 1e-9)], [by_seed])
    low, high = stats.t.interval(0.95, 2, mean, stats.sem(by_seed))
    assert (found.change.low, found.change.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(by_seed, 0).pvalue)
    assert found.smallest is not None
    assert found.smallest > high - mean


def test_nothing_gets_surer() -> None:
    one = of_items(-0.1, 0.03)
    for by_seed in ([-0.1], [-0.1, -0.1], [-0.1, -0.1000001]):
        [found] = with_seeds([one], [by_seed])
        assert found.change.low == pytest.approx(one.change.low)
        assert found.change.high == pytest.approx(one.change.high)
        assert found.p == pytest.approx(one.p)
    single = of_items(-0.1, 0.03)
    nothing = Difference(**{**vars(single), "change": Estimate(-0.1, None, None, 1), "p": 1.0})
    assert with_seeds([nothing], [[-0.1, -0.3]]) == [nothing]
    assert with_seeds([], []) == []


def test_of_models_that_differ_by_seed_alone_few_are_called_different() -> None:
    """Two seeds of three variants that are worth nothing, seeds counting twice what items do."""
    rng = np.random.default_rng(0)
    items, seeds, trials = 0.01, 0.02, 2000
    wrong = wrong_by_items = 0
    for _ in range(trials):
        by_seed = [rng.normal(rng.normal(0, items), seeds, 2) for _ in range(3)]
        found = [of_items(float(each.mean()), items) for each in by_seed]
        wrong_by_items += found[0].p < 0.05
        wrong += with_seeds(found, by_seed)[0].p < 0.05
    assert wrong_by_items / trials > 0.2
    assert (
        wrong / trials < 0.08
    )  # five in a hundred, but for what three degrees of freedom leave open
