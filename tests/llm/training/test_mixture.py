"""Batches of a mixture: shares, limits, phases, epochs; none depends on those before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from llm.training.batches import Batches, MixedBatches
from llm.training.mixture import MixtureError, Phase, Share, common_parts, take_turns

BEFORE = ([6, 8, 4, 1], [0, 2, 2, 4])
NAMES = ("books", "crawl", "docs", "wiki", "code")
WEIGHTS = st.one_of(st.integers(1, 30).map(float), st.floats(0.001, 50.0))


@st.composite
def mixtures(draw: st.DrawFn, limits: bool = True) -> tuple[dict[str, range], list[Phase], int]:
    """Spans of sources, phases over them, rows of a batch."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    spans, start = {}, 0
    for name in names:
        rows = draw(st.integers(1, 30))
        spans[name] = range(start, start + rows)
        start += rows
    phases, until = [], 0
    for _ in range(draw(st.integers(1, 3))):
        until += draw(st.integers(1, 20))
        chosen = draw(st.lists(st.sampled_from(names), max_size=5, unique=True))
        times = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.25, 4.0]) if limits else st.just(0.0)
        phases.append(
            Phase(until, tuple(Share(name, draw(WEIGHTS), draw(times)) for name in chosen))
        )
    return spans, phases, draw(st.integers(1, 24))


def batches_of(spans: dict[str, range], phases: Sequence[Phase], rows: int) -> MixedBatches:
    return MixedBatches(spans, rows, 7, phases, 16)


def stream(batches: Batches, steps: int) -> list[int]:
    return np.concatenate([batches.indices(step) for step in range(steps)]).tolist()


def source_of(row: int, spans: dict[str, range]) -> str:
    return next(name for name, span in spans.items() if row in span)


def exact_shares(phase: Phase, spans: dict[str, range]) -> dict[str, Fraction]:
    """As they were asked for; those without a common measure, as they are rounded."""
    shares = phase.mixture or tuple(Share(name, len(spans[name]), 0.0) for name in spans)
    parts = common_parts([share.weight for share in shares])
    return {
        share.source: Fraction(part, sum(parts)) for share, part in zip(shares, parts, strict=True)
    }


@settings(deadline=None)
@given(mixtures(limits=False))
def test_every_source_is_less_than_a_row_from_its_share_at_every_row(drawn) -> None:
    spans, phases, rows = drawn
    found = [source_of(row, spans) for row in stream(batches_of(*drawn), phases[-1].until)]
    start = 0
    for phase in phases:
        shares = exact_shares(phase, spans)
        counts: Counter[str] = Counter()
        for place, source in enumerate(found[start : phase.until * rows], 1):
            counts[source] += 1
            assert all(abs(counts[name] - place * shares.get(name, 0)) < 1 for name in spans)
        start = phase.until * rows


@settings(deadline=None)
@given(mixtures())
def test_limits_hold_and_each_epoch_of_a_source_has_every_row_once(drawn) -> None:
    spans, phases, rows = drawn
    try:
        batches = batches_of(*drawn)
    except MixtureError:
        reject()
    found = stream(batches, phases[-1].until)
    assert len(found) == phases[-1].until * rows
    for name, span in spans.items():
        mine = [row for row in found if row in span]
        for start in range(0, len(mine), len(span)):
            epoch = mine[start : start + len(span)]
            assert len(set(epoch)) == len(epoch)
        assert batches.given(phases[-1].until)[name] == (len(mine), len(mine) / len(span))
    start = 0
    for phase in phases:
        before = Counter(source_of(row, spans) for row in found[:start])
        after = Counter(source_of(row, spans) for row in found[: phase.until * rows])
        for share in phase.mixture:
            if share.max_epochs:
                most = share.max_epochs * len(spans[share.source])
                assert after[share.source] <= max(before[share.source], most)
        if phase.mixture:
            named = {share.source for share in phase.mixture}
            assert {name for name in spans if after[name] > before[name]} <= named
        start = phase.until * rows


@settings(deadline=None)
@given(mixtures())
def test_those_that_are_left_share_in_proportion(drawn) -> None:
    """Gone through row by row: from where a source is at its limit, shares are of the others."""
    spans, phases, rows = drawn
    try:
        found = stream(batches_of(*drawn), phases[-1].until)
    except MixtureError:
        reject()
    given_before: Counter[str] = Counter()
    start = 0
    for phase in phases:
        shares = phase.mixture or tuple(Share(name, len(spans[name]), 0.0) for name in spans)
        limits = {
            each.source: int(Fraction(str(each.max_epochs)) * len(spans[each.source]))
            for each in shares
            if each.max_epochs
        }
        left: list[Share] = []
        for row in found[start : phase.until * rows]:
            now = [s for s in shares if given_before[s.source] < limits.get(s.source, 10**9)]
            if now != left:
                left, place, counts = now, 0, Counter[str]()
                exact = exact_shares(Phase(0, tuple(left)), spans)
            source = source_of(row, spans)
            place += 1
            counts[source] += 1
            given_before[source] += 1
            assert all(abs(counts[name] - place * exact.get(name, 0)) < 1 for name in spans)
        start = phase.until * rows


@settings(deadline=None, max_examples=40)
@given(mixtures(limits=False), st.data())
def test_a_batch_depends_on_nothing_before_and_not_on_where_batches_are_cut(drawn, data) -> None:
    spans, phases, rows = drawn
    steps = phases[-1].until
    whole = stream(batches_of(*drawn), steps)
    step = data.draw(st.integers(0, steps - 1))
    fresh = batches_of(*drawn).indices(step)
    assert fresh.tolist() == whole[step * rows : (step + 1) * rows]
    assert fresh.dtype == np.int64
    one_by_one = [Phase(phase.until * rows, phase.mixture) for phase in phases]
    assert stream(batches_of(spans, one_by_one, 1), steps * rows) == whole


def test_a_source_at_its_limit_leaves_its_share_to_the_others() -> None:
    spans = {"crawl": range(100), "docs": range(100, 110), "wiki": range(110, 130)}
    mixture = (Share("crawl", 0.5, 0.0), Share("docs", 0.3, 2.0), Share("wiki", 0.2, 0.0))
    batches = batches_of(spans, [Phase(20, mixture)], 10)
    # 20 rows of docs are used up after 67 rows: then 0.5 to 0.2 for 133 rows.
    rows = {name: rows for name, (rows, _) in batches.given(20).items()}
    assert rows["docs"] == 20
    assert rows["crawl"] == pytest.approx(67 * 0.5 + 133 * 5 / 7, abs=2)
    assert batches.used_up() == [(7, "docs")]
    late = {source_of(row, spans) for step in range(7, 20) for row in batches.indices(step)}
    assert late == {"crawl", "wiki"}
    assert batches.epochs(20) == pytest.approx(200 / 130)


def test_a_second_phase_has_a_mixture_of_its_own() -> None:
    spans = {"crawl": range(60), "docs": range(60, 90)}
    phases = [Phase(8, (Share("crawl", 1, 0.0),)), Phase(10, (Share("docs", 3.0, 0.0),))]
    batches = batches_of(spans, phases, 6)
    sources = [{source_of(row, spans) for row in batches.indices(step)} for step in range(10)]
    assert sources == [{"crawl"}] * 8 + [{"docs"}] * 2
    everything = batches_of(spans, [Phase(30, ()), phases[1]], 6)
    assert everything.given(15) == {"crawl": (60, 1.0), "docs": (30, 1.0)}


def test_rows_of_a_source_come_in_the_same_order_whatever_the_others() -> None:
    spans = {"crawl": range(40), "docs": range(40, 60)}
    few = batches_of(spans, [Phase(9, (Share("crawl", 1.0, 0.0), Share("docs", 1.0, 0.0)))], 5)
    many = batches_of({"docs": range(20)}, [Phase(9, ())], 5)
    mine = [row - 40 for row in stream(few, 9) if row >= 40]
    assert mine == stream(many, 9)[: len(mine)]
    assert mine[:20] != mine[20:40] or len(mine) < 40


def test_far_into_a_run() -> None:
    mixture = (Share("crawl", 0.7, 0.0), Share("docs", 0.3, 0.0))
    spans = {"crawl": range(1000), "docs": range(1000, 1300)}
    batches = batches_of(spans, [Phase(10**12, mixture)], 100)
    step = 10**12 - 1
    assert Counter(source_of(row, spans) for row in batches.indices(step).tolist()) == {
        "crawl": 70,
        "docs": 30,
    }
    assert batches.given(step)["crawl"][0] == 70 * step


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ([0.7, 0.3], [7, 3]),
        ([0.1, 0.2, 0.7], [1, 2, 7]),
        ([1.0, 1.0, 1.0], [1, 1, 1]),
        ([50.0, 25.0], [2, 1]),
        ([0.3333, 0.6667], [3333, 6667]),
        ([3.0, 1e-7], [10_000, 1]),
        ([0.123456, 0.654321], [1587, 8413]),
    ],
)
def test_weights_become_whole_parts(weights: list[float], parts: list[int]) -> None:
    assert common_parts(weights) == parts


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_nobody_is_a_turn_from_its_share(parts: list[int]) -> None:
    turns, total = take_turns(parts), sum(parts)
    had = np.cumsum(turns[:, None] == np.arange(len(parts)), axis=0)
    share = np.arange(1, total + 1)[:, None] * np.array(parts)
    assert (abs(had * total - share) < total).all()
    assert had[-1].tolist() == parts


def test_turns_are_taken_evenly() -> None:
    assert take_turns([1, 1]).tolist() == [0, 1]
    assert take_turns([3, 1]).tolist() == [0, 0, 0, 1]
    assert Counter(take_turns([9000, 250, 250, 250, 250]).tolist()) == {
        0: 9000, 1: 250, 2: 250, 3: 250, 4: 250
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "phases", "message"),
    [
        (
            {"crawl": range(10), "docs": range(10, 14)},
            [Phase(9, (Share("crawl", 1.0, 2.0), Share("docs", 1.0, 1.5)))],
            r"after 416 of 720 tokens every source .*crawl 2 times 160 tokens, docs 1\.5 times 64",
        ),
        (
            {"crawl": range(10)},
            [Phase(1, ()), Phase(9, (Share("crawl", 1.0, 0.5),))],
            "after 80 of 720 tokens",
        ),
        (
            {"crawl": range(10), "docs": range(10, 10)},
            [Phase(9, (Share("docs", 1.0, 0.0),))],
            r"no training row is of source 'docs'.* there are crawl \(10 rows\)",
        ),
        ({"crawl": range(10)}, [Phase(9, (Share("wiki", 1.0, 0.0),))], "source 'wiki'"),
        ({}, [Phase(9, (Share("wiki", 1.0, 0.0),))], r"pack\.by_source=true"),
    ],
)
def test_what_is_no_mixture_is_told(
    spans: dict[str, range], phases: list[Phase], message: str
) -> None:
    with pytest.raises(MixtureError, match=message):
        batches_of(spans, phases, 5)


def test_without_a_mixture_batches_are_what_they_always_were() -> None:
    """Rows of a run that went before there were mixtures: a checkpoint of it is gone on from."""
    assert Batches(10, 4, 3).indices(0).tolist() == BEFORE[0]
    assert Batches(10, 4, 3).indices(2).tolist() == BEFORE[1]
    assert Batches(10, 4, 3).given(5) == {}
