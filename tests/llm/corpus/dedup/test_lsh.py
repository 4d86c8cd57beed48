"""Bands: the S-curve against simulation, candidates against a plain loop."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from llm.corpus.dedup.band_join import Candidates, candidate_pairs
from llm.corpus.dedup.components import DisjointSets, components
from llm.corpus.dedup.lsh import Banding, BandingError, choose_banding
from llm.corpus.dedup.signature_rows import SignatureRows


def _candidates(
    matrix: np.ndarray, bandings: Sequence[Banding], cap: int, entries_a_file: int = 1000
) -> Candidates:
    with tempfile.TemporaryDirectory() as scratch:
        rows = SignatureRows(matrix, np.arange(len(matrix)))
        let_through = functools.partial(_even_sum, len(matrix))
        found = candidate_pairs(rows, bandings, cap, let_through, Path(scratch), entries_a_file)
        assert not list(Path(scratch).iterdir())
    return found


def _even_sum(rows: int, pairs: np.ndarray) -> np.ndarray:
    assert np.all(pairs[:, 0] > pairs[:, 1])
    assert np.all(pairs < rows)
    return pairs.sum(axis=1) % 2 == 0


@given(st.integers(1, 40), st.integers(1, 20), st.floats(0.5, 0.99))
def test_recall_is_the_mean_of_the_s_curve(bands: int, rows: int, threshold: float) -> None:
    banding = Banding(bands, rows)
    area, _ = quad(banding.probability, threshold, 1.0)
    assert banding.recall(threshold) == pytest.approx(area / (1 - threshold), abs=1e-5)


@given(st.integers(16, 300), st.floats(0.5, 1.0), st.floats(0.6, 0.99))
def test_chosen_banding_has_the_most_rows_that_suffice(
    num_perm: int, threshold: float, recall: float
) -> None:
    chosen = choose_banding(num_perm, threshold, recall)
    assert chosen.bands * chosen.rows <= num_perm
    assert chosen.recall(threshold) >= recall
    for rows in range(chosen.rows + 1, num_perm + 1):
        assert Banding(num_perm // rows, rows).recall(threshold) < recall


def test_known_banding() -> None:
    chosen = choose_banding(128, 0.8, 0.985)
    assert (chosen.bands, chosen.rows) == (16, 8)
    assert chosen.probability(0.8) == pytest.approx(0.947, abs=5e-4)
    assert chosen.recall(0.8) == pytest.approx(0.9936, abs=1e-4)


def test_too_short_a_signature_is_refused() -> None:
    with pytest.raises(BandingError, match="raise num_perm"):
        choose_banding(1, 0.5, 0.99)


def test_share_of_pairs_found_follows_the_s_curve() -> None:
    generator = np.random.default_rng(7)
    banding, jaccard, trials = Banding(16, 8), 0.75, 3000  # an even number
    left = generator.integers(0, 2**32, (trials, 128), dtype=np.uint32)
    right = np.where(
        generator.random((trials, 128)) < jaccard,
        left,
        generator.integers(0, 2**32, (trials, 128), dtype=np.uint32),
    )
    stacked = np.concatenate([left, right])
    found = _candidates(stacked, [banding], 64)
    assert np.all(found.pairs[:, 0] - found.pairs[:, 1] == trials)
    assert found.found / trials == pytest.approx(banding.probability(jaccard), abs=0.03)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), max_size=25),
    st.sampled_from([(Banding(3, 2),), (Banding(2, 3), Banding(6, 1)), (Banding(1, 4),)]),
    st.integers(2, 8),
    st.sampled_from([1, 7, 50, 1000]),
)
def test_candidates_are_those_of_a_plain_loop(
    rows: list[list[int]], bandings: tuple[Banding, ...], cap: int, entries_a_file: int
) -> None:
    matrix = np.array(rows, dtype=np.uint32).reshape(-1, 6)
    listed: set[tuple[int, int]] = set()
    oversized = []
    for banding in bandings:
        for band in range(banding.bands):
            buckets: dict[tuple[int, ...], list[int]] = {}
            for number, row in enumerate(rows):
                key = tuple(row[band * banding.rows : (band + 1) * banding.rows])
                buckets.setdefault(key, []).append(number)
            for members in buckets.values():
                if len(members) > cap:
                    oversized.append(members)
                else:
                    listed |= {(b, a) for a in members for b in members if a < b}
    found = _candidates(matrix, bandings, cap, entries_a_file)
    assert found.found == len(listed)
    let_through = sorted(pair for pair in listed if sum(pair) % 2 == 0)
    assert [tuple(pair) for pair in found.pairs.tolist()] == let_through
    assert sorted(members.tolist() for members in found.oversized) == sorted(oversized)


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
def test_components_two_ways(nodes: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % nodes, b % nodes) for a, b in edges]
    forest = DisjointSets(np.arange(nodes))
    joined = sum(forest.join(a, b) for a, b in edges)
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    with mock.patch("llm.corpus.dedup.components._FEW", -1):  # by SciPy, however few there are
        found = components(nodes, pairs)
    assert components(nodes, pairs).tolist() == found.tolist()
    assert found.tolist() == [forest.root(node) for node in range(nodes)]
    assert found.tolist() == forest.roots(np.arange(nodes)).tolist()
    assert len(set(found.tolist())) == nodes - joined
