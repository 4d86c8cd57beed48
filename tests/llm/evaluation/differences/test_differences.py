"""Differences of models whose true difference is known, and the bootstrap against scipy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from llm.evaluation import bootstrap
from llm.evaluation.differences.differences import Difference, differences
from llm.evaluation.differences.pairing import Pair
from llm.evaluation.differences.power import smallest_difference, standard_error
from llm.evaluation.measure import Measure

Draw = Callable[[np.random.Generator, int, float], Pair]


def pair_of(
    before: NDArray[np.float64], after: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> Pair:
    ids = tuple(str(number) for number in range(len(before)))
    weights = np.ones(len(before)) if weights is None else weights
    sides = [Measure("bits_per_byte", ids, side, weights) for side in (before, after)]
    return Pair(sides[0], sides[1], 0)


def bits(generator: np.random.Generator, n: int, change: float) -> Pair:
    """Documents of very different lengths, hard or easy for both models alike."""
    sizes = np.exp(generator.normal(6, 0.7, n))
    hard = generator.normal(2, 0.5, n)
    noise = generator.normal(change, 0.1, n)
    return pair_of(sizes * hard, sizes * (hard + noise), sizes)


def verdicts(generator: np.random.Generator, n: int, change: float) -> Pair:
    """Questions, each with a chance of its own to be answered."""
    chance = generator.uniform(0.1, 0.8, n)
    sides = [generator.random(n) < chance, generator.random(n) < chance + change]
    ids = tuple(str(number) for number in range(n))
    one, other = (Measure("arc", ids, side.astype(float), np.ones(n)) for side in sides)
    return Pair(one, other, 0)


def found_by(draw: Draw, n: int, change: float, worlds: int) -> list[Difference]:
    generator = np.random.default_rng(11)
    return [differences([draw(generator, n, change)], 400, 0)[0] for _ in range(worlds)]


@pytest.mark.parametrize("draw", [bits, verdicts])
@pytest.mark.parametrize("n", [15, 80])
def test_intervals_hold_the_truth_and_nothing_is_found_where_nothing_is(draw: Draw, n: int) -> None:
    worlds = 600
    for change in (0.0, 0.05):
        found = found_by(draw, n, change, worlds)
        # Three standard errors of a share of .95 in so many worlds are .027.
        held = [one.change.low <= change <= one.change.high for one in found]  # type: ignore[operator]
        assert 0.915 < np.mean(held) < 0.99
        if not change:
            assert np.mean([one.p <= 0.05 for one in found]) < 0.085
            assert np.mean([one.is_significant for one in found]) < 0.085


@pytest.mark.parametrize(("draw", "n"), [(bits, 60), (verdicts, 400)])
def test_the_smallest_difference_is_found_four_times_in_five(draw: Draw, n: int) -> None:
    generator = np.random.default_rng(3)
    smallest = float(np.mean([smallest_difference(draw(generator, n, 0.0)) for _ in range(40)]))
    share = np.mean([one.p <= 0.05 for one in found_by(draw, n, smallest, 400)])
    assert 0.7 < share < 0.9


def test_several_comparisons_are_wrong_no_more_often_than_one() -> None:
    generator = np.random.default_rng(5)
    alone = together = 0
    for _ in range(200):
        found = differences([bits(generator, 40, 0.0) for _ in range(6)], 400, 0)
        alone += any(one.p <= 0.05 for one in found)
        together += any(one.corrected_p <= 0.05 for one in found)
    assert alone / 200 > 0.15
    assert together / 200 < 0.10


def test_the_interval_is_scipys() -> None:
    matched = bits(np.random.default_rng(2), 50, 0.03)
    change = matched.change
    found = bootstrap.estimate(change, 20_000, 0)
    tail = bootstrap._widened(0.025, 50)
    assert 0.019 < tail < 0.025
    assert bootstrap._narrowed(tail, 50) == pytest.approx(0.025)
    wanted = stats.bootstrap(
        (change.numerators, change.denominators),
        lambda top, bottom, axis: top.sum(axis=axis) / bottom.sum(axis=axis),
        n_resamples=20_000,
        paired=True,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(9),
    )
    spread = wanted.standard_error
    assert found.low == pytest.approx(wanted.confidence_interval.low, abs=0.1 * spread)
    assert found.high == pytest.approx(wanted.confidence_interval.high, abs=0.1 * spread)
    assert standard_error(matched) == pytest.approx(spread, rel=0.1)


def test_the_p_value_is_that_of_a_paired_test() -> None:
    generator = np.random.default_rng(8)
    hard, noise = generator.normal(0, 10, 200), generator.normal(0.2, 1, 200)
    matched = pair_of(hard, hard + noise, None)
    [found] = differences([matched], 20_000, 0)
    wanted = stats.ttest_rel(hard + noise, hard).pvalue
    assert 0.001 < wanted < 0.05
    assert found.p == pytest.approx(wanted, rel=0.35)
    assert stats.ttest_ind(hard + noise, hard).pvalue > 0.5  # unpaired, nothing is seen


def test_verdicts_on_known_items() -> None:
    right = np.array([1.0] * 60 + [0.0] * 40)
    better = right.copy()
    better[60:72] = 1.0
    better[:2] = 0.0
    ids = tuple(str(number) for number in range(100))
    one, other = (Measure("arc", ids, side, np.ones(100)) for side in (right, better))
    [up, down, same] = differences(
        [Pair(one, other, 0), Pair(other, one, 0), Pair(one, one, 3)], 1000, 0
    )
    assert (up.before, up.after, up.won, up.lost) == (0.6, 0.7, 12, 2)
    assert up.change.value == pytest.approx(0.1)
    assert up.p == pytest.approx(stats.binomtest(12, 14).pvalue) == down.p
    assert up.corrected_p == pytest.approx(3 * up.p)
    assert (up.verdict, down.verdict, same.verdict) == ("better", "worse", "no difference")
    assert (same.change.value, same.p, same.left_out) == (0, 1, 3)
    assert same.change.high == -same.change.low == pytest.approx(0.0362, abs=1e-4)  # type: ignore[operator]
    # Even of two models that agree, some eight items have to differ for six to be seen.
    assert (
        same.smallest
        == pytest.approx(stats.gamma(6).ppf(0.8) / 100)
        == pytest.approx(0.079, abs=1e-3)
    )


def test_which_way_decides_what_is_better() -> None:
    before = np.linspace(1, 2, 30)
    [less] = differences([pair_of(before, before - 0.1, None)], 1000, 0)
    [more] = differences([pair_of(before, before + 0.1, None)], 1000, 0)
    assert (less.verdict, more.verdict) == ("better", "worse")  # bits per byte
    ids = tuple(map(str, range(30)))
    sides = [Measure("generated_tokens", ids, side, np.ones(30)) for side in (before, before + 3)]
    [longer] = differences([Pair(sides[0], sides[1], 0)], 1000, 0)
    assert (longer.verdict, longer.direction) == ("higher", 0)


def test_one_item_shows_nothing() -> None:
    [found] = differences([pair_of(np.array([1.0]), np.array([0.2]), None)], 100, 0)
    assert (found.change.low, found.p, found.smallest) == (None, 1.0, None)
    assert found.verdict == "no difference"


def test_the_same_seed_gives_the_same_answer() -> None:
    matched = bits(np.random.default_rng(1), 30, 0.05)
    assert differences([matched], 500, 7) == differences([matched], 500, 7)
    assert differences([matched], 500, 7) != differences([matched], 500, 8)
