"""95 % intervals by resampling units with replacement (Efron 1979, percentile method).

The percentiles are those of Hesterberg 2015, "What teachers should know about the bootstrap",
section 3.4: as far out as make up for a resample's spread being that of n units over n instead of
n - 1, and for quantiles being a normal's instead of Student's. Without that, intervals of 15 units
hold the truth nine times in ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.evaluation.measure import Measure

_TAIL = 0.025
_AT_ONCE = 2_000_000  # draws in memory together


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
    drawn = resampled([measure], resamples, seed)
    return with_interval(measure.value, drawn[0], len(measure.ids))


def difference(after: Measure, before: Measure, resamples: int, seed: int) -> Estimate | None:
    """after - before on the units both have, resampled in pairs; `None` if they share none.

    Pairs share what makes a unit hard, so the interval is narrower than the two apart.
    """
    known = set(before.ids)
    shared = tuple(unit for unit in after.ids if unit in known)
    if not shared:
        return None
    after, before = after.on(shared), before.on(shared)
    drawn = resampled([after, before], resamples, seed)
    return with_interval(after.value - before.value, drawn[0] - drawn[1], len(shared))


def with_interval(value: float, drawn: NDArray[np.float64], n: int) -> Estimate:
    """A figure of n units, given what it is in resamples of them, float64 (resamples,)."""
    if n < 2:
        return Estimate(value, None, None, n)
    tail = _widened(_TAIL, n)
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Estimate(value, float(low), float(high), n)


def two_sided_p(drawn: NDArray[np.float64], n: int) -> float:
    """How surely a figure of n units is not zero: the level at which its interval ends at zero.

    Args:
        drawn: the figure in resamples, float64 (resamples,).

    Returns:
        1 for a single unit. No less than what so many resamples can show.
    """
    if n < 2:
        return 1.0
    fewer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * _narrowed((fewer + 1) / (len(drawn) + 1), n))


def resampled(measures: Sequence[Measure], resamples: int, seed: int) -> NDArray[np.float64]:
    """Measures of the same n units in resamples of n, each drawn once for all of them.

    Returns:
        float64 (measures, resamples).
    """
    sides = [side for one in measures for side in (one.numerators, one.denominators)]
    totals = np.concatenate(
        [drawn @ np.stack(sides, axis=1) for drawn in times(len(sides[0]), resamples, seed)]
    )
    ratios: NDArray[np.float64] = totals[:, ::2] / totals[:, 1::2]
    return ratios.T


def times(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of n units is in each resample: blocks of float64 (resamples, n)."""
    generator = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // n)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * n)
        yield times.reshape(count, n).astype(np.float64)


def _widened(tail: float, n: int) -> float:
    """The tail to cut off resamples where `tail` is meant."""
    from scipy import special  # not before: every command imports this file

    return float(special.ndtr(np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, tail)))


def _narrowed(tail: float, n: int) -> float:
    """What cutting this tail off resamples means: the inverse of `_widened`."""
    from scipy import special

    return float(special.stdtr(n - 1, special.ndtri(tail) / np.sqrt(n / (n - 1))))
