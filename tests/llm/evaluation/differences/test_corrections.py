"""McNemar's test and Holm's correction against what others give."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llm.evaluation.differences.holm import adjusted
from llm.evaluation.differences.mcnemar import exact_interval, exact_p, fewest_discordant


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_binomial_test(won: int, lost: int) -> None:
    wanted = stats.binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert exact_p(won, lost) == pytest.approx(wanted, rel=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 100))
def test_the_exact_interval_leaves_zero_out_where_the_test_does(
    won: int, lost: int, same: int
) -> None:
    n = max(2, won + lost + same)
    low, high = exact_interval(won, lost, n, 0.05)
    assert -1 <= low <= (won - lost) / n <= high <= 1
    assert (low > 0 or high < 0) == (exact_p(won, lost) < 0.05)
    if won + lost:
        wanted = stats.binomtest(won, won + lost).proportion_ci(0.95, "exact")
        assert low == pytest.approx((2 * wanted.low - 1) * (won + lost) / n)
        assert high == pytest.approx((2 * wanted.high - 1) * (won + lost) / n)


def test_none_of_many_leaves_a_little_open() -> None:
    low, high = exact_interval(0, 0, 200, 0.05)
    assert -low == high == pytest.approx(stats.binomtest(0, 200).proportion_ci(0.95, "exact").high)


def test_six_wins_are_the_fewest_that_show_anything() -> None:
    assert fewest_discordant(0.05) == 6
    assert exact_p(6, 0) == 0.03125
    assert exact_p(5, 0) == 0.0625
    assert fewest_discordant(0.001) == 11


def test_holm_as_r_has_it() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.9), "holm")
    assert adjusted([0.01, 0.04, 0.03, 0.005, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    assert adjusted([0.6, 0.7]) == [1.0, 1.0]
    assert adjusted([0.03]) == [0.03]
    assert adjusted([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_corrects_upwards_and_keeps_the_order(p_values: list[float]) -> None:
    found = adjusted(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, found, strict=True))
    order = sorted(range(len(found)), key=lambda place: p_values[place])
    assert all(found[one] <= found[two] for one, two in pairwise(order))
    # No less strict than what is always right, no stricter than Bonferroni.
    smallest = min(p_values)
    assert min(found) == min(1.0, smallest * len(p_values))
