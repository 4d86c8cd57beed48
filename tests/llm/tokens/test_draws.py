"""Draws, samples and mixtures belong to documents, not to their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.tokens.draw import draw, draws
from llm.tokens.mixture import UnknownSourceError, check_sources, repeats
from llm.tokens.sample import sample

IDS = [f"{number:032x}" for number in range(2000)]
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=60)


def test_draws_differ_by_seed_purpose_and_name() -> None:
    found = {draw(s, p, n) for s in (0, 1) for p in ("a", "b") for n in ("1", "11")}
    assert len(found) == 8
    assert draw(1, "a", "1", 2) != draw(1, "a", "12")
    assert draws(3, "x", IDS).tolist() == [draw(3, "x", name) for name in IDS]


def test_draws_are_uniform() -> None:
    counts = np.histogram(draws(0, "x", IDS) / 2.0**64, bins=10, range=(0, 1))[0]
    assert counts.min() > 150  # 200 expected, standard deviation 13
    assert counts.max() < 250


@given(SIZES, st.integers(1, 800), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_sample_fits_is_full_and_ignores_order(sizes, capacity, seed, random) -> None:
    ids = IDS[: len(sizes)]
    taken = sample(ids, np.array(sizes), capacity, seed, "p")
    used = sum(size for size, kept in zip(sizes, taken, strict=True) if kept)
    assert used <= capacity
    assert all(size > capacity - used for size, kept in zip(sizes, taken, strict=True) if not kept)
    order = random.sample(range(len(sizes)), len(sizes))
    again = sample(
        [ids[i] for i in order], np.array([sizes[i] for i in order]), capacity, seed, "p"
    )
    assert again.tolist() == taken[order].tolist()


def test_one_more_document_changes_little() -> None:
    sizes = np.ones(2000, dtype=np.int64)
    before = sample(IDS, sizes, 500, 0, "p")
    after = sample([*IDS, "f" * 32], np.ones(2001, dtype=np.int64), 500, 0, "p")[:2000]
    assert int((before != after).sum()) <= 1


def test_whole_epochs_and_a_fraction() -> None:
    sources = ["a"] * 1000 + ["b"] * 500 + ["c"] * 500
    found = repeats(IDS, sources, {"a": 2.3, "b": 0.0}, seed=0)
    assert set(found[:1000].tolist()) == {2, 3}
    assert 250 < int((found[:1000] == 3).sum()) < 350
    assert set(found[1000:1500].tolist()) == {0}
    assert set(found[1500:].tolist()) == {1}


def test_a_greater_fraction_keeps_what_a_smaller_one_uses() -> None:
    sources = ["a"] * len(IDS)
    less, more = (repeats(IDS, sources, {"a": epochs}, 0) for epochs in (0.2, 0.5))
    assert bool((less <= more).all())
    assert repeats(IDS[::-1], sources, {"a": 0.2}, 0).tolist() == less[::-1].tolist()


def test_a_weight_for_nothing_is_refused() -> None:
    check_sources(["a"], ["a", "b"])
    with pytest.raises(UnknownSourceError, match=r"'wiki'; the sources are a, b"):
        check_sources(["wiki"], ["a", "b"])
