"""Bits per byte that follow a law, for mixtures of four sources."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm.mixing.draws import draw

Floats = NDArray[np.float64]
TOKENS = {"a": 700, "b": 150, "c": 100, "d": 50}
SHARE = np.array(list(TOKENS.values())) / sum(TOKENS.values())
FLOORS = np.array([0.9, 1.1, 0.8, 1.0])
EVEN = np.full(4, 0.25)


def mixtures(count: int, seed: int = 0) -> Floats:
    """float64 (count, 4)."""
    drawn = draw(TOKENS, count, seed)
    return np.array([[each.get(name, 0.0) for name in TOKENS] for each in drawn])


def exponential(weights: Floats) -> Floats:
    """As Data Mixing Laws has it: a domain gains by its own source, and a little by the next."""
    slopes = -1.6 * np.eye(4) - 0.4 * np.eye(4, k=1)
    return FLOORS + np.array([1.2, 1.0, 1.4, 0.9]) * np.exp(weights @ slopes.T)


def power(weights: Floats) -> Floats:
    """A power of each weight, which a small one bends."""
    slopes = -0.2 * np.eye(4) - 0.05 * np.eye(4, k=-1)
    return FLOORS + 0.5 * np.exp(np.log(weights + 0.01) @ slopes.T)
