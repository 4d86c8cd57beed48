"""How well scores tell two classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BinaryMetrics:
    """Metrics of scores against truth; `None` where a denominator is 0.

    Attributes:
        positives, negatives: number of examples of each class.
        precision, recall, f1: of "score >= threshold means positive".
        auc: area under the ROC curve.
    """

    positives: int
    negatives: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


def binary_metrics(
    truth: Sequence[bool], scores: Sequence[float], threshold: float
) -> BinaryMetrics:
    """Precision, recall, F1 and AUC of one score an example.

    Args:
        truth, scores: of equal length.
        threshold: a score at or above it says "positive".
    """
    actual, score = np.array(truth, dtype=bool), np.array(scores, dtype=np.float64)
    predicted = score >= threshold
    hits = int((predicted & actual).sum())
    claimed, existing = int(predicted.sum()), int(actual.sum())
    return BinaryMetrics(
        positives=existing,
        negatives=len(actual) - existing,
        precision=hits / claimed if claimed else None,
        recall=hits / existing if existing else None,
        f1=2 * hits / (claimed + existing) if claimed + existing else None,
        auc=roc_auc(actual, score),
    )


def roc_auc(actual: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Probability that a random positive scores above a random negative, ties counting half.

    Exact, by the ranks of the Mann-Whitney U statistic (Hanley and McNeil 1982).
    `None` when a class is empty.
    """
    positives = int(actual.sum())
    negatives = len(actual) - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    # Twice the mean rank of each group of ties, as integers: no rounding before the division.
    twice_rank = 2 * np.cumsum(sizes) - sizes + 1
    twice_sum = int(twice_rank[group[actual]].sum())
    return (twice_sum - positives * (positives + 1)) / (2 * positives * negatives)
