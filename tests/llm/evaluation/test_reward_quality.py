"""Figures of a reward model on pairs worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from llm.evaluation.reward_quality import reward_quality
from llm.tables import REWARD_PAIRS


def pairs(*rows: tuple[float, float, int, int]) -> pa.Table:
    """Rows of (chosen's reward, rejected's reward, chosen's tokens, rejected's tokens)."""
    return pa.Table.from_pylist(
        [
            {
                "doc_id": f"{number}",
                "split": "validation",
                "chosen_reward": chosen,
                "rejected_reward": rejected,
                "margin": chosen - rejected,
                "chosen_tokens": long,
                "rejected_tokens": short,
            }
            for number, (chosen, rejected, long, short) in enumerate(rows)
        ],
        schema=REWARD_PAIRS,
    )


def test_figures() -> None:
    # p(chosen) = 3/4, 1/4 and 1/2; longer, shorter and as long.
    odds = math.log(3)
    found = reward_quality(pairs((odds, 0, 5, 3), (-odds, 0, 2, 9), (0, 0, 4, 4)))
    assert found.accuracy.value == pytest.approx(1 / 3)  # a tie is no success
    assert found.longer_wins.value == 0.5
    assert found.ahead.value == pytest.approx(1 / 3 - 1 / 2)
    assert found.brier == pytest.approx((0.25**2 + 0.75**2 + 0.5**2) / 3)
    bins = [(round(one.low, 1), one.pairs, round(one.stated, 4)) for one in found.reliability]
    assert bins == [(0.5, 1, 0.5), (0.7, 2, 0.75)]
    assert [one.right for one in found.reliability] == [0.0, 0.5]
    rewards, tokens = [odds, -odds, 0, 0, 0, 0], [5, 2, 4, 3, 9, 4]
    assert found.length_correlation == pytest.approx(np.corrcoef(rewards, tokens)[0, 1])


def test_a_model_that_counts_tokens_is_not_ahead() -> None:
    rng = np.random.default_rng(0)
    rows = [(float(a), float(b), int(a), int(b)) for a, b in rng.integers(1, 40, (200, 2))]
    found = reward_quality(pairs(*rows))
    assert found.length_correlation == pytest.approx(1.0)
    assert found.ahead.low is not None
    assert found.ahead.low < 0.01


def test_a_model_that_tells_content_is_ahead() -> None:
    rng = np.random.default_rng(1)
    rows = [
        (float(right), 0.5, int(a), int(b))
        for right, (a, b) in zip(rng.random(200) < 0.9, rng.integers(1, 40, (200, 2)), strict=True)
    ]
    found = reward_quality(pairs(*rows))
    assert found.ahead.low is not None
    assert found.ahead.low > 0.2
    assert found.accuracy.low is not None
    assert found.accuracy.high is not None
    assert found.accuracy.low < 0.9 < found.accuracy.high


def test_rewards_that_are_all_the_same() -> None:
    found = reward_quality(pairs((1, 1, 3, 4), (1, 1, 5, 6)))
    assert (found.length_correlation, found.accuracy.value, found.brier) == (None, 0.0, 0.25)
