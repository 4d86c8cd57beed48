"""Which rows a step has, and at what learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.training.batches import Batches, NoSequencesError
from llm.training.schedules import UnknownScheduleError, share
from tests.llm.training.small_run import OPTIMISATION

SIZES = st.integers(1, 40)
SEEDS = st.integers(0, 2**63 - 1)


@settings(deadline=None)
@given(rows=SIZES, batch_rows=SIZES, seed=SEEDS)
def test_every_epoch_has_all_rows_once(rows: int, batch_rows: int, seed: int) -> None:
    batches = Batches(rows, batch_rows, seed)
    steps = -(-3 * rows // batch_rows)
    stream = np.concatenate([batches.indices(step) for step in range(steps)])
    assert stream.shape == (steps * batch_rows,)
    for epoch in range(3):
        assert sorted(stream[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    assert batches.epochs(steps) == pytest.approx(len(stream) / rows)


@settings(deadline=None)
@given(rows=SIZES, batch_rows=SIZES, seed=SEEDS, step=st.integers(0, 10**9))
def test_a_batch_depends_on_nothing_before(
    rows: int, batch_rows: int, seed: int, step: int
) -> None:
    used = Batches(rows, batch_rows, seed)
    for earlier in range(5):
        used.indices(earlier)
    fresh = Batches(rows, batch_rows, seed)
    assert np.array_equal(used.indices(step), fresh.indices(step))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    one, other = Batches(100, 100, 1), Batches(100, 100, 2)
    assert not np.array_equal(one.indices(0), one.indices(1))
    assert not np.array_equal(one.indices(0), other.indices(0))


def test_no_rows() -> None:
    with pytest.raises(NoSequencesError, match="pack"):
        Batches(0, 1, 0)


def test_cosine() -> None:
    o = replace(OPTIMISATION, schedule="cosine", steps=110, warmup_steps=10, final_share=0.2)
    assert [share(step, o) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1, 1])
    assert share(60, o) == pytest.approx(0.6)
    assert share(35, o) == pytest.approx(0.2 + 0.8 * (0.5 + 0.5 * 0.5**0.5))
    assert share(110, o) == pytest.approx(0.2)


def test_wsd() -> None:
    o = replace(
        OPTIMISATION, schedule="wsd", steps=100, warmup_steps=10, decay_share=0.4, final_share=0.1
    )
    assert [share(step, o) for step in (0, 9, 10, 59, 60)] == pytest.approx([0.1, 1, 1, 1, 1])
    assert share(80, o) == pytest.approx(0.55)
    assert share(99, o) == pytest.approx(0.1 + 0.9 / 40)
    assert share(100, o) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
@pytest.mark.parametrize(("warmup_steps", "decay_share"), [(0, 1.0), (90, 1.0), (50, 0.5), (1, 0)])
def test_the_rate_never_jumps(schedule: str, warmup_steps: int, decay_share: float) -> None:
    o = replace(
        OPTIMISATION,
        schedule=schedule,
        steps=100,
        warmup_steps=warmup_steps,
        decay_share=decay_share,
        final_share=0.5,
    )
    shares = [share(step, o) for step in range(101)]
    steepest = max(0.5 / max(1, 100 * decay_share), 1 / max(1, warmup_steps), 0.1)
    if decay_share:
        assert max(abs(np.diff(shares))) <= steepest + 1e-9
    assert max(shares) == 1
    assert min(shares[warmup_steps:]) == shares[-1] == pytest.approx(0.5)


def test_unknown() -> None:
    with pytest.raises(UnknownScheduleError, match="cosine, wsd"):
        share(5, replace(OPTIMISATION, schedule="linear"))
