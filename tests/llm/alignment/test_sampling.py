"""The order of rows: all of them, alike in length, and a function of seed and epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm.alignment.sampling import LengthGrouped, PromptOrder


@given(st.lists(st.integers(1, 300), max_size=400), st.integers(1, 17), st.integers(0, 3))
def test_every_row_once(lengths: list[int], batch_size: int, epoch: int) -> None:
    sampler = LengthGrouped(lengths, batch_size, 5)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    assert len(sampler) == len(lengths)
    assert list(sampler) == order


def test_batches_are_alike_and_epochs_are_not() -> None:
    lengths = np.random.default_rng(0).integers(10, 110, size=1_000)
    sampler = LengthGrouped(lengths, 16, 1)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(LengthGrouped(lengths, 16, 2)) != first

    def padded(order: list[int]) -> int:
        batches = [lengths[order[at : at + 16]] for at in range(0, len(order), 16)]
        return int(sum(batch.max() * len(batch) for batch in batches))

    assert padded(first) < 1.1 * lengths.sum()
    assert padded(list(range(1_000))) > 1.5 * lengths.sum()
    # Not from the shortest to the longest: what a step learns from stays random.
    widths = [lengths[first[at : at + 16]].mean() for at in range(0, 992, 16)]
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.4


def test_prompts_come_a_step_at_a_time() -> None:
    order = PromptOrder(rows=10, samples=3, batch_size=12, repeats=2, seed=5)
    seen = list(order)
    assert len(seen) == len(order) == 2 * 12 * 2  # two prompts are left out
    steps = [seen[start : start + 12] for start in range(0, len(seen), 12)]
    assert steps[0] == steps[1]
    assert steps[2] == steps[3]
    assert all(set(Counter(step).values()) == {3} for step in steps)
    assert all(len(set(step[at : at + 3])) == 1 for step in steps for at in range(0, 12, 3))
    assert not set(steps[0]) & set(steps[2])


def test_the_order_of_prompts_is_that_of_seed_and_epoch() -> None:
    one, other = (PromptOrder(20, 2, 8, 1, seed) for seed in (0, 1))
    first = list(one)
    assert list(one) == first
    assert list(other) != first
    one.set_epoch(1)
    second = list(one)
    assert second != first
    later = PromptOrder(20, 2, 8, 1, 0)
    later.set_epoch(1)
    assert list(later) == second
