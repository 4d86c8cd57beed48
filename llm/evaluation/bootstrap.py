"""95 % intervals by resampling units with replacement (Efron 1979, percentile method)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.evaluation.measure import Measure

_TAILS = (2.5, 97.5)
_AT_ONCE = 100  # resamples whose weights are in memory together


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, which a single unit does not give.

    Attributes:
        n: units it rests on.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def estimate(measure: Measure, resamples: int, seed: int) -> Estimate:
    """A measure with its interval."""
    drawn = _resample([measure], resamples, seed)
    return _estimate(measure.value, drawn[0], len(measure.ids))


def difference(after: Measure, before: Measure, resamples: int, seed: int) -> Estimate | None:
    """after - before on the units both have, resampled in pairs; `None` if they share none.

    Pairs share what makes a unit hard, so the interval is narrower than the two apart.
    """
    known = set(before.ids)
    shared = tuple(unit for unit in after.ids if unit in known)
    if not shared:
        return None
    after, before = after.on(shared), before.on(shared)
    drawn = _resample([after, before], resamples, seed)
    return _estimate(after.value - before.value, drawn[0] - drawn[1], len(shared))


def _estimate(value: float, drawn: NDArray[np.float64], n: int) -> Estimate:
    if n < 2:
        return Estimate(value, None, None, n)
    low, high = np.percentile(drawn, _TAILS)
    return Estimate(value, float(low), float(high), n)


def _resample(measures: Sequence[Measure], resamples: int, seed: int) -> NDArray[np.float64]:
    """float64 (measures, resamples): each resample drawn once for all measures."""
    n = len(measures[0].ids)
    generator = np.random.default_rng(seed)
    values = np.empty((len(measures), resamples))
    for first in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - first)
        times = generator.multinomial(n, np.full(n, 1 / n), size=count)
        for row, measure in enumerate(measures):
            top, bottom = times @ measure.numerators, times @ measure.denominators
            values[row, first : first + count] = top / bottom
    return values
