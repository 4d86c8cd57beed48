"""How far a reward model can be trusted, on pairs of answers it was not trained on.

A reward model may have learned no more than that longer answers are preferred (Singhal et al.
2023); the rule "the longer answer wins" stands beside it, on the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.evaluation.bootstrap import Estimate, difference, estimate
from llm.evaluation.measure import mean

_RESAMPLES, _SEED = 2000, 0
_BINS = 5


@dataclass(frozen=True)
class Confidence:
    """Pairs a reward model is about equally sure of.

    Attributes:
        low, high: bounds of the probability it gives to the answer it prefers.
        stated: mean of that probability; right: share of pairs in which it is right.
    """

    low: float
    high: float
    pairs: int
    stated: float
    right: float


@dataclass(frozen=True)
class RewardQuality:
    """Of a reward model.

    Attributes:
        accuracy: share of pairs whose chosen answer has the higher reward; a tie is no success.
        longer_wins: share of pairs whose chosen answer has more tokens; a tie counts half.
        ahead: how much the first is above the second, in pairs.
        length_correlation: Pearson's, of rewards and numbers of tokens over all answers; none where
            either does not vary.
        brier: mean squared error of the probability given to the chosen answer, which is the
            logistic function of the difference in reward; 0.25 is a coin's (Brier 1950).
        reliability: the same by how sure the model is; a range without pairs is left out.
    """

    accuracy: Estimate
    longer_wins: Estimate
    ahead: Estimate
    length_correlation: float | None
    brier: float
    reliability: tuple[Confidence, ...]


def reward_quality(pairs: pa.Table) -> RewardQuality:
    """Of REWARD_PAIRS, at least one."""
    margin = pairs.column("margin").to_numpy()
    sides = ("chosen", "rejected")
    tokens = [pairs.column(f"{side}_tokens").to_numpy().astype(np.float64) for side in sides]
    rewards = [pairs.column(f"{side}_reward").to_numpy() for side in sides]
    ids = tuple(pairs.column("doc_id").to_pylist())
    right = mean("accuracy", ids, (margin > 0).astype(np.float64))
    longer = mean("longer_wins", ids, 0.5 + 0.5 * np.sign(tokens[0] - tokens[1]))
    ahead = difference(right, longer, _RESAMPLES, _SEED)
    assert ahead is not None  # they are of the same pairs
    probability = 0.5 * (1 + np.tanh(margin / 2))
    return RewardQuality(
        estimate(right, _RESAMPLES, _SEED),
        estimate(longer, _RESAMPLES, _SEED),
        ahead,
        _correlation(np.concatenate(rewards), np.concatenate(tokens)),
        float(((1 - probability) ** 2).mean()),
        tuple(_reliability(probability)),
    )


def _correlation(rewards: NDArray[np.float64], tokens: NDArray[np.float64]) -> float | None:
    if not rewards.std() or not tokens.std():
        return None
    return float(np.corrcoef(rewards, tokens)[0, 1])


def _reliability(probability: NDArray[np.float64]) -> list[Confidence]:
    stated = np.maximum(probability, 1 - probability)
    edges = np.linspace(0.5, 1.0, _BINS + 1)
    places = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, _BINS - 1)
    found = []
    for place in range(_BINS):
        mine = places == place
        if mine.any():
            found.append(
                Confidence(
                    float(edges[place]),
                    float(edges[place + 1]),
                    int(mine.sum()),
                    float(stated[mine].mean()),
                    float((probability[mine] > 0.5).mean()),
                )
            )
    return found
