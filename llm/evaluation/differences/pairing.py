"""Two models on the same items: nothing else may be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.errors import ExpectedError
from llm.evaluation.measure import Measure

# Sums of bytes and tokens are whole; weights that differ by less than this are rounded otherwise.
_SAME = 1e-9


class DifferentItemsError(ExpectedError, ValueError):
    """Two models were not measured on the same items; says on how many, and names one."""


class DifferentWeightsError(ExpectedError, ValueError):
    """An item counts otherwise for one model than for the other; names one."""


@dataclass(frozen=True)
class Pair:
    """One measure of two models, item by item in the same order.

    Attributes:
        left_out: items that one of them alone was measured on.
    """

    before: Measure
    after: Measure
    left_out: int

    @property
    def n(self) -> int:
        return len(self.before.ids)

    @property
    def is_of_verdicts(self) -> bool:
        return self.before.is_of_verdicts and self.after.is_of_verdicts

    @property
    def change(self) -> Measure:
        """after - before, a measure like both: their weights are the same."""
        before, after = self.before, self.after
        values = after.numerators - before.numerators
        return Measure(before.metric, before.ids, values, before.denominators)


def pair(before: Measure, after: Measure, shared: bool) -> Pair:
    """One measure of two models.

    Args:
        shared: go by the items both have where they differ.

    Raises:
        DifferentItemsError: they differ and are not to be, or none is the same.
        DifferentWeightsError: an item has another weight.
    """
    common = set(before.ids) & set(after.ids)
    only = [[item for item in one.ids if item not in common] for one in (before, after)]
    left_out = len(only[0]) + len(only[1])
    if not common or (left_out and not shared):
        _refuse(before.metric, len(common), only)
    order = tuple(item for item in before.ids if item in common)
    matched = Pair(before.on(order), after.on(order), left_out)
    _require_same_weights(matched)
    return matched


def _refuse(metric: str, shared: int, only: list[list[str]]) -> None:
    sides = [
        f"{len(items):,} only the {which} (such as {items[0]!r})"
        for which, items in zip(("first", "second"), only, strict=True)
        if items
    ]
    way = "compare what was measured on the same data"
    if shared:
        way = "compare on those they share (--shared-items), or measure both on the same data"
    raise DifferentItemsError(
        f"{metric}: the two models were measured on different items: {shared:,} both, "
        f"{', '.join(sides)}; {way}"
    )


def _require_same_weights(matched: Pair) -> None:
    before, after = matched.before, matched.after
    others = ~np.isclose(before.denominators, after.denominators, rtol=_SAME, atol=0)
    if others.any():
        at = int(others.argmax())
        raise DifferentWeightsError(
            f"{before.metric}: {int(others.sum()):,} of {matched.n:,} items weigh otherwise for "
            f"the second model, such as {before.ids[at]!r}, {before.denominators[at]:g} and "
            f"{after.denominators[at]:g}: the models have different tokenizers, or the text is "
            "another; models of different tokenizers are compared by bits_per_byte"
        )
