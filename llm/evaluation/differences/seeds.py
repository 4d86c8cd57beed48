"""How far other seeds would move a change: what items alone do not know.

A change that was measured with k seeds is moved by two things that know nothing of each other: by
which items it was measured on, and by which seeds the models were trained from. Their variances
add up; that of the mean over seeds is the variance between seeds by k. Two or three seeds say
little of the variance between them, so that of all comparisons of one measure is taken together,
and Student's t has as many degrees of freedom as that leaves (Welch 1947, Satterthwaite 1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llm.evaluation.differences.differences import Difference
from llm.evaluation.differences.power import LEVEL, POWER


def with_seeds(found: Sequence[Difference], by_seed: Sequence[Sequence[float]]) -> list[Difference]:
    """Differences of means over seeds, with intervals and p that hold for other seeds too.

    Args:
        found: all of one measure.
        by_seed: of each the change with each seed, equally many.

    Returns:
        Never a narrower interval, a smaller p or a smaller difference that could be shown. As they
        are where there is one seed, or a single item. `corrected_p` is p, not yet corrected.
    """
    if not found or min(len(each) for each in by_seed) < 2:
        return list(found)
    between = float(np.mean([np.var(each, ddof=1) for each in by_seed]))
    freedom = sum(len(each) - 1 for each in by_seed)
    return [
        for_other_seeds(one, between / len(changes), freedom)
        for one, changes in zip(found, by_seed, strict=True)
    ]


def for_other_seeds(one: Difference, of_seeds: float, freedom: int) -> Difference:
    """A difference with an interval and a p that hold for other seeds too, p not corrected.

    Args:
        of_seeds: the variance that seeds give this difference.
        freedom: degrees of it that are known.
    """
    from scipy import special  # not before: every command imports this file

    low, high = one.change.low, one.change.high
    if low is None or high is None or not of_seeds:
        return one
    quantile = float(special.ndtri(1 - LEVEL / 2))
    of_items = ((high - low) / 2 / quantile) ** 2
    variance = of_items + of_seeds
    # The items are many: what is known of their variance is taken as certain.
    left = freedom * (variance / of_seeds) ** 2
    half = float(special.stdtrit(left, 1 - LEVEL / 2)) * math.sqrt(variance)
    p = 2 * float(special.stdtr(left, -abs(one.change.value) / math.sqrt(variance)))
    smallest = one.smallest
    if smallest is not None:
        seen = float(special.stdtrit(left, 1 - LEVEL / 2) + special.stdtrit(left, POWER))
        smallest = max(smallest, seen * math.sqrt(variance))
    change = replace(
        one.change,
        low=min(low, one.change.value - half),
        high=max(high, one.change.value + half),
    )
    p = max(one.p, p)
    return replace(one, change=change, p=p, corrected_p=p, smallest=smallest)
