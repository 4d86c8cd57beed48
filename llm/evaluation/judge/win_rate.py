"""Win rates: as judged, and what they were if both models wrote at the same length.

Judges favour long answers. AlpacaEval 2 (Dubois et al. 2024, "Length-Controlled AlpacaEval")
explains wins by a logistic regression on which model it is, how much longer its answer is, and how
hard the prompt is, and takes the rate it foretells at no difference in length. Ours is that
regression for two models, without the term for prompts, which takes many models to estimate:

    logit P(win) = theta + phi * tanh(d / sd(d)),    rate at equal length = sigmoid(theta)

d is the difference in characters. A tie counts as half a win. phi has a normal prior of standard
deviation 10, which says next to nothing: where length and wins go together without exception there
would be no finite phi.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm.evaluation.bootstrap import Estimate, times, with_interval

Array = NDArray[np.float64]
_STEPS, _ENOUGH, _FARTHEST = 100, 1e-9, 30.0
_PRIOR = 1 / 10.0**2


def win_rate(wins: Array, resamples: int, seed: int) -> Estimate:
    """The mean outcome, ties half, with its interval; float64 (pairs,)."""
    drawn = [block @ wins / len(wins) for block in times(len(wins), resamples, seed)]
    return with_interval(float(wins.mean()), np.concatenate(drawn), len(wins))


def length_controlled(wins: Array, longer_by: Array, resamples: int, seed: int) -> Estimate:
    """The win rate at equal length, with its interval.

    Args:
        wins: 1, 0.5 or 0 a pair, float64 (pairs,).
        longer_by: how many characters more the model's answer has, float64 (pairs,).
    """
    spread = float(longer_by.std())
    lengths = np.tanh(longer_by / spread) if spread > 0 else np.sign(longer_by) * 0.0
    whole = _at_equal_length(np.ones((1, len(wins))), wins, lengths)[0]
    drawn = [_at_equal_length(block, wins, lengths) for block in times(len(wins), resamples, seed)]
    return with_interval(float(whole), np.concatenate(drawn), len(wins))


def _at_equal_length(weights: Array, wins: Array, lengths: Array) -> Array:
    """sigmoid(theta) of a fit for each row of weights, by Newton's method.

    Args:
        weights: float64 (fits, pairs).

    Returns:
        float64 (fits,).
    """
    total = weights.sum(axis=1)
    mean = weights @ wins / total
    # All won or all lost: theta is infinite, and no step leads there.
    mixed = (mean > 0) & (mean < 1)
    inside = np.where(mixed, mean, 0.5)
    theta = np.log(inside / (1 - inside))
    phi = np.zeros_like(theta)
    for _ in range(_STEPS):
        chance = _sigmoid(theta[:, None] + phi[:, None] * lengths)
        missed = weights * (wins - chance)
        curve = weights * chance * (1 - chance)
        slope = missed.sum(axis=1), missed @ lengths - _PRIOR * phi
        a, b, c = curve.sum(axis=1), curve @ lengths, curve @ lengths**2 + _PRIOR
        determinant = np.maximum(a * c - b * b, 1e-12)
        step = (c * slope[0] - b * slope[1]) / determinant
        bend = (a * slope[1] - b * slope[0]) / determinant
        largest = np.maximum(1.0, np.maximum(abs(step), abs(bend)) / 2.0)  # no leap
        theta = np.clip(theta + step / largest, -_FARTHEST, _FARTHEST)
        phi = phi + bend / largest
        if max(abs(step[mixed]).max(initial=0), abs(bend[mixed]).max(initial=0)) < _ENOUGH:
            break
    return np.where(mixed, _sigmoid(theta), mean)


def _sigmoid(x: Array) -> Array:
    result: Array = 0.5 * (1.0 + np.tanh(x / 2.0))
    return result
