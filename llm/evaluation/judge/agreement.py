"""How far a judge and people agree: share of equal labels, and Cohen's kappa (1960).

kappa = (agreed - expected) / (1 - expected), where `expected` is how often two who label by chance,
each as often as it does, agree: 0 is no better than chance, 1 is perfect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm.evaluation.bootstrap import Estimate, times, with_interval

_CLASSES = ("1", "tie", "2")


def agreement(
    judged: Sequence[str], labels: Sequence[str], resamples: int, seed: int
) -> dict[str, Estimate]:
    """`agreement` and `kappa` of labels "1", "2" and "tie", with their intervals.

    kappa is missing where both give one and the same label throughout: then chance agrees as well.
    """
    n = len(judged)
    cells = [
        _CLASSES.index(one) * len(_CLASSES) + _CLASSES.index(other)
        for one, other in zip(judged, labels, strict=True)
    ]
    table = np.eye(len(_CLASSES) ** 2)[cells]
    drawn = np.concatenate([block @ table for block in times(n, resamples, seed)])
    whole = table.sum(axis=0, keepdims=True)
    agreed, kappa = _figures(whole)
    drawn_agreed, drawn_kappa = _figures(drawn)
    found = {"agreement": with_interval(float(agreed[0]), drawn_agreed, n)}
    if np.isfinite(kappa[0]):
        usable = drawn_kappa[np.isfinite(drawn_kappa)]
        found["kappa"] = with_interval(float(kappa[0]), usable, n)
    return found


def _figures(
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share agreed, and kappa (NaN where undefined), of each row of 9 counts."""
    shares = (counts / counts.sum(axis=1, keepdims=True)).reshape(-1, 3, 3)
    agreed = np.trace(shares, axis1=1, axis2=2)
    expected = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(expected < 1 - 1e-12, (agreed - expected) / (1 - expected), np.nan)
    return agreed, kappa
