"""Shares with Wilson's 95 % interval (Wilson 1927): safety figures are often 0 of n, of which a
bootstrap would say that it is 0 for sure."""

from __future__ import annotations

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.measure import Measure

_LEVEL = 0.95


def wilson(measure: Measure) -> Estimate:
    """A measure of verdicts with its interval."""
    from scipy.stats import binomtest  # takes half a second, and most evaluations ask for none

    hits, n = round(float(measure.numerators.sum())), len(measure.ids)
    interval = binomtest(hits, n).proportion_ci(_LEVEL, method="wilson")
    # The share lies inside, whatever rounding does at 0 and 1.
    low, high = min(measure.value, float(interval.low)), max(measure.value, float(interval.high))
    return Estimate(measure.value, low, high, n)
