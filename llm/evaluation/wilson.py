"""Shares with Wilson's 95 % interval (Wilson 1927): safety figures are often 0 of n, of which a
bootstrap would say that it is 0 for sure."""

from __future__ import annotations

import math

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.measure import Measure

_Z = 1.959963984540054  # of a normal, two-sided 95 %


def wilson(measure: Measure) -> Estimate:
    """A measure that lies between 0 and 1, with its interval.

    Where units weigh differently, the interval is that of Kish's effective number of units,
    (sum of weights)^2 / sum of squared weights; a unit that counts in part is never wider spread
    than one that is all or nothing, so that the interval is at least wide enough.
    """
    weights = measure.denominators
    n = float(weights.sum() ** 2 / (weights**2).sum())
    share = measure.value
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # The share lies inside, whatever rounding does at 0 and 1.
    low, high = max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
    return Estimate(share, low, high, len(measure.ids))
