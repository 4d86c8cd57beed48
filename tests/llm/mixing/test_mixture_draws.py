"""Mixtures to try: the same at any time, around what there is, and beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.mixing.draws import TooFewMixturesError, draw, plan, proportional

TOKENS = {"crawl": 8_000, "docs": 1_000, "books": 1_000}


def test_the_first_is_by_what_there_is() -> None:
    first, *others = draw(TOKENS, 16, 0)
    assert first == proportional(TOKENS) == {"crawl": 0.8, "docs": 0.1, "books": 0.1}
    assert len({tuple(sorted(each.items())) for each in [first, *others]}) == 16
    largest = [max(each.values()) for each in others]
    assert max(largest) > 0.8  # near a corner
    assert min(largest) < 0.5
    # Flattened: small sources are tried with more than they have.
    many = draw(TOKENS, 100, 0)[1:]
    assert 0.5 < sum(each.get("crawl", 0.0) for each in many) / len(many) < 0.7


def test_more_of_them_begin_with_the_same() -> None:
    assert draw(TOKENS, 20, 3)[:9] == draw(TOKENS, 9, 3)
    assert draw(dict(reversed(TOKENS.items())), 9, 3) == draw(TOKENS, 9, 3)
    assert draw(TOKENS, 9, 4)[1:] != draw(TOKENS, 9, 3)[1:]


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 10**12), min_size=2),
    st.integers(0, 2**63 - 1),
)
def test_weights_are_thousandths_that_sum_to_one(tokens: dict[str, int], seed: int) -> None:
    for weights in draw(tokens, 5, seed):
        thousandths = [weight * 1000 for weight in weights.values()]
        assert [round(each) for each in thousandths] == pytest.approx(thousandths)
        assert sum(map(round, thousandths)) == 1000
        assert min(thousandths) > 0


def test_a_source_that_came_later_leaves_the_mixtures_of_before() -> None:
    before = plan(TOKENS, [], 8, 5, 0)
    more = {**TOKENS, "code": 4_000}
    after = plan(more, ["code"], 8, 5, 0)
    assert after[:8] == before == draw(TOKENS, 8, 0)
    assert len(after) == 13
    assert after[8] == proportional(more)
    assert all("code" in each for each in after[8:])
    twice = plan({**more, "wiki": 500}, ["code", "wiki"], 8, 5, 0)
    assert twice[:13] == after
    assert len(twice) == 18


def test_one_source_has_one_mixture() -> None:
    with pytest.raises(TooFewMixturesError, match=r"one source \(docs\)"):
        draw({"docs": 10}, 3, 0)


def test_two_sources_have_a_thousand_mixtures_at_most() -> None:
    with pytest.raises(
        TooFewMixturesError, match=r"2 sources have \d+ .* 1200 are asked for; lower"
    ):
        draw({"docs": 10, "code": 10}, 1_200, 0)
