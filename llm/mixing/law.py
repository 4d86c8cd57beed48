"""Bits per byte of each domain as a function of the weights of a mixture.

The law is log-linear: log(bits - c) = a + sum of b_j x_j(w), with x_j the weight of source j itself
(Data Mixing Laws, Ye et al. 2024, arXiv 2403.16952) or its logarithm, from a small weight on (a
power law of each weight, as in BiMix, Ge et al. 2024, arXiv 2405.14908). Given c it is a ridge
regression with a closed form, and so is what it would say of each mixture without having seen it
(the hat matrix). By those left-out errors c, the penalty and the kind of x are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

Floats = NDArray[np.float64]
Kind = Literal["weights", "logarithms"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Of the lowest bits there are, what c is tried as.
_FLOORS = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
# Weights below are not told apart by their logarithms.
_LEAST = 0.01
_SAME = 1e-6  # of the mean: bits of mixtures that do not differ


class UnfittableError(ExpectedError, ValueError):
    """The mixtures do not determine a law."""


@dataclass(frozen=True)
class DomainLaw:
    """log(bits - floor) = intercept + slopes . x(w).

    Attributes:
        slopes: float64 (sources,).
    """

    kind: Kind
    floor: float
    intercept: float
    slopes: Floats

    def bits(self, weights: Floats) -> Floats:
        """float64 (mixtures,) of float64 (mixtures, sources)."""
        found: Floats = self.floor + np.exp(
            self.intercept + _features(weights, self.kind) @ self.slopes
        )
        return found

    def gradient(self, weights: Floats) -> Floats:
        """float64 (sources,): by each weight, of one mixture (sources,)."""
        above = self.bits(weights[None])[0] - self.floor
        slopes = self.slopes
        if self.kind == "logarithms":
            slopes = slopes / (weights + _LEAST)
        found: Floats = above * slopes
        return found


@dataclass(frozen=True)
class Laws:
    """Those of all domains, of one kind.

    Attributes:
        importance: float64 (domains,); their sum is 1.
        errors: by kind, the root of the mean squared error of what was left out, in bits per byte.
    """

    kind: Kind
    domains: tuple[DomainLaw, ...]
    importance: Floats
    errors: dict[Kind, float]

    def bits(self, weights: Floats) -> Floats:
        """float64 (mixtures, domains) of float64 (mixtures, sources)."""
        return np.stack([law.bits(weights) for law in self.domains], axis=1)

    def average(self, weights: Floats) -> float:
        """Of one mixture (sources,), over domains by importance."""
        return float(self.bits(weights[None])[0] @ self.importance)

    def gradient(self, weights: Floats) -> Floats:
        """float64 (sources,): of the average."""
        found: Floats = self.importance @ np.stack([law.gradient(weights) for law in self.domains])
        return found


def fit(weights: Floats, bits: Floats, importance: Floats) -> Laws:
    """The laws that explain mixtures best.

    Args:
        weights: float64 (mixtures, sources), rows that sum to 1.
        bits: float64 (mixtures, domains) per byte, as measured.
        importance: float64 (domains,).

    Raises:
        UnfittableError: there are fewer mixtures than sources and two more, or all came out alike.
    """
    mixtures, sources = weights.shape
    if mixtures < sources + 2:
        raise UnfittableError(
            f"{mixtures} mixtures for {sources} sources; a fit needs {sources + 2} at least"
        )
    if not np.isfinite(bits).all():
        raise UnfittableError("bits per byte of a mixture are no number: its training diverged")
    if (np.ptp(bits, axis=0) <= _SAME * bits.mean(axis=0)).all():
        raise UnfittableError(
            "all mixtures came out alike, so that no law follows: the models learned nothing that "
            "depends on what they read"
        )
    found: dict[Kind, list[tuple[DomainLaw, float]]] = {
        kind: [_fit_domain(weights, column, kind) for column in bits.T] for kind in KINDS
    }
    errors = {
        kind: float(np.sqrt(np.mean([square for _, square in laws])))
        for kind, laws in found.items()
    }
    best = min(KINDS, key=errors.__getitem__)
    return Laws(best, tuple(law for law, _ in found[best]), importance / importance.sum(), errors)


def left_out(weights: Floats, bits: Floats, importance: Floats) -> Floats:
    """float64 (mixtures, domains): bits of each mixture as all the others tell, its kind, floor and
    penalty chosen without it."""
    rows = range(len(weights))
    return np.concatenate(
        [
            fit(np.delete(weights, row, axis=0), np.delete(bits, row, axis=0), importance).bits(
                weights[row][None]
            )
            for row in rows
        ]
    )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; 0 where all of one are equal."""
    from scipy import stats  # not before: every command imports this file

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one, other).statistic)


def _features(weights: Floats, kind: Kind) -> Floats:
    return np.log(weights + _LEAST) if kind == "logarithms" else weights


def _fit_domain(weights: Floats, bits: Floats, kind: Kind) -> tuple[DomainLaw, float]:
    """The law with the smallest mean squared error of what is left out, and that error."""
    x = _features(weights, kind)
    middle = x.mean(axis=0)
    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    scaled = (x - middle) / scale
    best: tuple[DomainLaw, float] | None = None
    for penalty in _PENALTIES:
        gram = scaled.T @ scaled + penalty * len(x) * np.eye(x.shape[1])
        solve = np.linalg.solve(gram, scaled.T)  # (sources, mixtures)
        hat = scaled @ solve + 1 / len(x)
        for share in _FLOORS:
            floor = share * float(bits.min())
            y = np.log(bits - floor)
            slopes = solve @ (y - y.mean())
            fitted = y.mean() + scaled @ slopes
            without = y - (y - fitted) / (1 - np.diagonal(hat))
            square = float(np.mean((floor + np.exp(without) - bits) ** 2))
            if best is None or square < best[1]:
                slopes = slopes / scale
                law = DomainLaw(kind, floor, float(y.mean() - middle @ slopes), slopes)
                best = law, square
    assert best is not None
    return best
