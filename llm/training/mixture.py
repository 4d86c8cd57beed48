"""Which source each row of a run comes from: by weights, limits and phases, at any place at once.

Rows are counted over the whole run. Within a stretch of rows in which the same sources take part
with the same weights, they take turns in a pattern that repeats, so that the rows a source has
given before any place are a product and a look-up: nothing has to be gone through from the start.
The pattern is made earliest deadline first, which keeps every source less than a row from its
share at every place (Steiner & Yeomans 1993, "Level Schedules for Mixed-Model, Just-in-Time
Processes").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

Ints = NDArray[np.int64]
_FINEST = 10_000  # turns of a pattern, about, where weights have no coarser common measure


class MixtureError(ExpectedError, ValueError):
    """The sources do not make a mixture, or none as long as the run."""


@dataclass(frozen=True)
class Share:
    """What a source gives.

    Attributes:
        weight: above 0; its share of the rows is weight / sum of weights.
        max_epochs: times its rows are gone through at most, since the first step; 0 = no limit.
    """

    source: str
    weight: float
    max_epochs: float


@dataclass(frozen=True)
class Phase:
    """Steps with one mixture.

    Attributes:
        until: the step it ends before, counted from 0.
        mixture: none = all sources, each by the rows it has.
    """

    until: int
    mixture: tuple[Share, ...]


@dataclass(frozen=True)
class _Stretch:
    """Rows in which the same sources take turns.

    Attributes:
        start, end: its first row and the one behind its last.
        before: int64 (sources,): rows that each gave before `start`.
        parts: int64 (sources,): turns of each in the pattern.
        source: int64 (turns,): whose turn it is.
        nth: int64 (turns,): turns that source had before, in the pattern.
        used_up: the sources that reach their limits where it ends, within a phase.
    """

    start: int
    end: int
    before: Ints
    parts: Ints
    source: Ints
    nth: Ints
    used_up: tuple[int, ...]

    def at(self, rows: Ints) -> tuple[Ints, Ints]:
        """Source of each of these rows, and which of the source's rows it is, from 0."""
        turn = (rows - self.start) % len(self.source)
        rounds = (rows - self.start) // len(self.source)
        source = self.source[turn]
        return source, self.before[source] + rounds * self.parts[source] + self.nth[turn]

    def given(self, end: int) -> Ints:
        """int64 (sources,): rows each has given before row `end`, which lies in the stretch."""
        rounds, rest = divmod(end - self.start, len(self.source))
        turns = np.bincount(self.source[:rest], minlength=len(self.parts))
        return self.before + rounds * self.parts + turns


class Mixture:
    """The sources of the rows of a run.

    Args:
        rows: how many each source has.
        phases: in order; the last one ends where the run does.
        batch_rows: of a step.
        sequence_length: tokens of a row, for messages.

    Attributes:
        names: of all sources, sorted; elsewhere a source is its place in this list.

    Raises:
        MixtureError: a source has no rows, or all are used up before the end of the run.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        phases: Sequence[Phase],
        batch_rows: int,
        sequence_length: int,
    ) -> None:
        self.names = tuple(sorted(rows))
        self._rows, self._batch_rows = rows, batch_rows
        self._stretches: list[_Stretch] = []
        start, given = 0, np.zeros(len(self.names), dtype=np.int64)
        for phase in phases:
            shares = self._shares(phase)
            for stretch in self._cut(shares, start, phase.until * batch_rows, given):
                self._stretches.append(stretch)
                start, given = stretch.end, stretch.given(stretch.end)
            if start < phase.until * batch_rows:
                wanted = phases[-1].until * batch_rows
                raise MixtureError(
                    f"after {start * sequence_length:,} of {wanted * sequence_length:,} tokens "
                    f"every source of the mixture has reached its max_epochs: "
                    f"{self._limits(shares, sequence_length)}. Raise max_epochs in "
                    "pretrain.mixture or pretrain.anneal, add sources, or lower pretrain.tokens"
                )

    def at(self, start: int, end: int) -> tuple[Ints, Ints]:
        """int64 (end - start,) twice: of each row its source, and which of the source's it is.

        The latter counts on over epochs.
        """
        found = [
            stretch.at(np.arange(max(start, stretch.start), min(end, stretch.end)))
            for stretch in self._stretches
            if start < stretch.end and end > stretch.start
        ]
        sources, nth = zip(*found, strict=True)
        return np.concatenate(sources), np.concatenate(nth)

    def given(self, rows: int) -> dict[str, int]:
        """Of the first `rows` rows, how many come from each source."""
        stretch = next(each for each in reversed(self._stretches) if each.start <= rows)
        return dict(zip(self.names, stretch.given(rows).tolist(), strict=True))

    def used_up(self) -> Iterator[tuple[int, str]]:
        """(step, source) for each that is left out from a step on, having reached its limit."""
        for stretch in self._stretches[:-1]:
            for source in stretch.used_up:
                yield -(-stretch.end // self._batch_rows), self.names[source]

    def _shares(self, phase: Phase) -> tuple[Share, ...]:
        """Of a phase, by what the sources have.

        Raises:
            MixtureError: one of them has nothing.
        """
        for share in phase.mixture:
            if not self._rows.get(share.source):
                there = ", ".join(f"{name} ({self._rows[name]:,} rows)" for name in self.names)
                raise MixtureError(
                    f"no training row is of source {share.source!r}, which pretrain.mixture or "
                    f"pretrain.anneal names; there are {there}"
                )
        by_size = (Share(name, rows, 0.0) for name, rows in self._rows.items() if rows)
        return phase.mixture or tuple(by_size)

    def _cut(
        self, shares: Sequence[Share], start: int, end: int, given: Ints
    ) -> Iterator[_Stretch]:
        """Stretches from row `start` on, until `end` or until no source may give more."""
        limits = {
            self.names.index(share.source): _limit(share, self._rows[share.source])
            for share in shares
        }
        weights = dict(zip(limits, (share.weight for share in shares), strict=True))
        while start < end:
            left = {each: limit - int(given[each]) for each, limit in limits.items()}
            active = [each for each in left if left[each] > 0]
            if not active:
                return
            parts = np.zeros(len(self.names), dtype=np.int64)
            parts[active] = common_parts([weights[each] for each in active])
            source = take_turns(parts.tolist())
            nth, ends = np.empty_like(source), {}
            for each in active:
                turns = np.flatnonzero(source == each)
                nth[turns] = np.arange(len(turns))
                rounds, last = divmod(left[each] - 1, len(turns))
                ends[each] = start + rounds * len(source) + int(turns[last]) + 1
            cut = min(end, *ends.values())
            used_up = tuple(each for each in active if ends[each] == cut < end)
            stretch = _Stretch(start, cut, given, parts, source, nth, used_up)
            yield stretch
            start, given = cut, stretch.given(cut)

    def _limits(self, shares: Sequence[Share], sequence_length: int) -> str:
        return ", ".join(
            f"{share.source} {share.max_epochs:g} times "
            f"{self._rows[share.source] * sequence_length:,} tokens"
            for share in shares
        )


def common_parts(weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights: exactly, where their sum is at most 10,000.

    Otherwise rounded to about a ten-thousandth of the whole, and at least 1.
    """
    exact = [Fraction(repr(weight)) for weight in weights]  # 0.1 is a tenth, as it was written
    total = sum(exact)
    common = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * common) for weight in exact]
    divisor = math.gcd(*whole)
    if sum(whole) // divisor <= _FINEST:
        return [weight // divisor for weight in whole]
    return [max(1, round(weight * _FINEST / total)) for weight in exact]


def take_turns(parts: Sequence[int]) -> Ints:
    """int64 (sum of parts,): whose turn it is, so that each always has had its share, less than a
    turn apart.

    A turn is due to a source as soon as it has had less than its share, and must be had where the
    share has grown by a whole turn. Of those due, the one that must be soonest has it.
    """
    total, had = sum(parts), [0] * len(parts)
    turns = np.empty(total, dtype=np.int64)
    for turn in range(total):
        due = (
            (-(-(had[each] + 1) * total // part), each)
            for each, part in enumerate(parts)
            if had[each] * total < (turn + 1) * part
        )
        turns[turn] = chosen = min(due)[1]
        had[chosen] += 1
    return turns


def _limit(share: Share, rows: int) -> int:
    """Rows that a source gives at most."""
    if not share.max_epochs:
        return np.iinfo(np.int64).max
    return int(Fraction(repr(share.max_epochs)) * rows)
