"""Holm's correction: p-values of several comparisons made together (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values to hold against the level that the chance of any false finding is to keep.

    The k-th smallest of m is multiplied by m - k + 1, and none is below a smaller one's.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found
