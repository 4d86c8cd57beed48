"""Whether one model is better than another, by how much and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from llm.evaluation.bootstrap import Estimate, resampled, two_sided_p, with_interval
from llm.evaluation.differences.holm import adjusted
from llm.evaluation.differences.mcnemar import exact_interval, exact_p
from llm.evaluation.differences.pairing import Pair
from llm.evaluation.differences.power import LEVEL, smallest_difference
from llm.evaluation.items import direction

Verdict = Literal["better", "worse", "higher", "lower", "no difference"]


@dataclass(frozen=True)
class Difference:
    """One measure of a model against another's.

    Attributes:
        before, after: of the two models, on the items compared.
        change: after - before, with its 95 % interval: by a bootstrap of pairs; of verdicts as
            wide as that and `mcnemar.exact_interval` together, since where few items differ the
            bootstrap knows too little.
        p: of no difference; exact (McNemar) of verdicts, else by the same bootstrap.
        corrected_p: by Holm, for all comparisons made together.
        smallest: difference these items could show, see `power.smallest_difference`.
        direction: 1 where higher is better, -1 where lower is, 0 where neither is.
        won, lost: items on which only the one, only the other is right; `None` where the items
            are no verdicts.
        left_out: items that only one of them was measured on.
    """

    metric: str
    before: float
    after: float
    change: Estimate
    p: float
    corrected_p: float
    smallest: float | None
    direction: int
    won: int | None
    lost: int | None
    left_out: int

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves zero out, and so does the corrected test."""
        low, high = self.change.low, self.change.high
        if low is None or high is None or low <= 0 <= high:
            return False
        return self.corrected_p <= LEVEL

    @property
    def verdict(self) -> Verdict:
        """Of the model after."""
        if not self.is_significant:
            return "no difference"
        if not self.direction:
            return "higher" if self.change.value > 0 else "lower"
        return "better" if self.change.value * self.direction > 0 else "worse"


def differences(pairs: Sequence[Pair], resamples: int, seed: int) -> list[Difference]:
    """Of every pair the difference; corrected as comparisons made together.

    Args:
        resamples: of the bootstrap; p is no less than about 2 / resamples.
    """
    found = [_difference(one, resamples, seed) for one in pairs]
    corrected = adjusted([one.p for one in found])
    return [replace(one, corrected_p=p) for one, p in zip(found, corrected, strict=True)]


def _difference(matched: Pair, resamples: int, seed: int) -> Difference:
    change = matched.change
    [drawn] = resampled([change], resamples, seed)
    found = with_interval(change.value, drawn, matched.n)
    won = lost = None
    if matched.is_of_verdicts:
        won = int(np.count_nonzero(change.numerators > 0))
        lost = int(np.count_nonzero(change.numerators < 0))
        p = exact_p(won, lost)
        found = _widened(found, exact_interval(won, lost, matched.n, LEVEL))
    else:
        p = two_sided_p(drawn, matched.n)
    return Difference(
        metric=change.metric,
        before=matched.before.value,
        after=matched.after.value,
        change=found,
        p=p,
        corrected_p=p,
        smallest=smallest_difference(matched),
        direction=_direction(matched),
        won=won,
        lost=lost,
        left_out=matched.left_out,
    )


def _widened(found: Estimate, other: tuple[float, float]) -> Estimate:
    """With an interval that holds another one too."""
    if found.low is None or found.high is None:
        return found
    return replace(found, low=min(found.low, other[0]), high=max(found.high, other[1]))


def _direction(matched: Pair) -> int:
    """That of the measure; of one whose name says nothing both have to be verdicts."""
    return min(direction(matched.before), direction(matched.after), key=abs)
