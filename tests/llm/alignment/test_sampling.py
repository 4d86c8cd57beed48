"""The order of rows: all of them, alike in length, and a function of seed and epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm.alignment.sampling import LengthGrouped


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
