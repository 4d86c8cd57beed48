"""The mixture a law promises most of, of those the text suffices for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.mixing.law import Laws

Floats = NDArray[np.float64]
_PARTS = 1_000_000  # weights are whole millionths
_ROUNDING = 1e-9  # of sums


class NoMixtureError(ExpectedError, ValueError):
    """No mixture stays within the limits."""


def propose(laws: Laws, limits: Floats, starts: Floats) -> Floats:
    """float64 (sources,): weights with the least bits per byte, on average by importance.

    With laws of weights the average is convex and has one lowest point; with logarithms it may have
    several, so the lowest that sequential quadratic programming (Kraft 1988) finds from all starts
    is taken.

    Args:
        limits: float64 (sources,): the most each may weigh.
        starts: float64 (mixtures, sources): to begin from.

    Raises:
        NoMixtureError: the limits sum to less than 1.
    """
    from scipy.optimize import minimize  # not before: every command imports this file

    require_mixture(limits)
    upper = np.minimum(limits, 1.0)
    best, lowest = None, np.inf
    for start in starts:
        found = minimize(
            laws.average,
            within(start, upper),
            jac=laws.gradient,
            method="SLSQP",
            bounds=[(0.0, most) for most in upper.tolist()],
            constraints={"type": "eq", "fun": _excess, "jac": np.ones_like},
            options={"ftol": 1e-12, "maxiter": 500},
        )
        weights = within(found.x, upper)
        bits = laws.average(weights)
        if bits < lowest:
            best, lowest = weights, bits
    if best is None:
        raise NoMixtureError("no mixture to begin from")
    return best


def require_mixture(limits: Floats) -> None:
    """Raises:
    NoMixtureError: the limits sum to less than 1.
    """
    if limits.sum() < 1 - _ROUNDING:
        raise NoMixtureError(
            f"all sources together may make up {limits.sum():.3f} of the text, and 1 is needed"
        )


def within(weights: Floats, upper: Floats) -> Floats:
    """The nearest weights that sum to 1 and lie between 0 and their limits, in whole millionths
    where there is room for that.

    Nearest by Euclid: the same is added to all that are not at a limit, which is found by halving.
    """
    low, high = float(-weights.max()), float(1 - weights.min())
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(weights + middle, 0, upper).sum() < 1:
            low = middle
        else:
            high = middle
    exact = np.clip(weights + high, 0, upper)
    parts = np.floor(exact * _PARTS)
    room = np.floor(upper * _PARTS) - parts
    for place in np.argsort(-room, kind="stable"):
        more = min(_PARTS - parts.sum(), room[place])
        parts[place] += max(0.0, more)
    # Limits that leave no room for rounding are kept rather.
    found: Floats = parts / _PARTS if parts.sum() == _PARTS else exact
    return found


def _excess(weights: Floats) -> float:
    return float(weights.sum() - 1)
