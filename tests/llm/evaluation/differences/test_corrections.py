"""McNemar's test and Holm's correction against what others give."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llm.evaluation.differences.holm import adjusted
from llm.evaluation.differences.mcnemar import exact_p, fewest_discordant


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_binomial_test(won: int, lost: int) -> None:
    wanted = stats.binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert exact_p(won, lost) == pytest.approx(wanted, rel=1e-9)


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
