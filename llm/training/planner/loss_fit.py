"""What a larger run's loss will be, from smaller runs on the same data.

The loss of N parameters after D tokens is taken to be E + A / N^a + B / D^b (Hoffmann et al. 2022),
measured with an error of heavy tails, so that one odd run does not decide. Five runs do not
determine five numbers; so they are not picked, but weighed: all that explain the runs, by how well
they do and by what is usual (a near 0.34 and b near 0.28, as there), are drawn from by Markov
chains that move along the lines between each other (Goodman and Weare 2010). The forecast is their
median, its interval what nine of ten of them say, the error of a single run included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

Floats = NDArray[np.float64]
FEWEST = 4
# Logarithms of E, A, B (as shares of the loss at the reference), a, b and the error of a run:
# where they usually are, and how far that may be off.
_USUAL = np.log([0.5, 0.2, 0.3, 0.34, 0.28, 0.01])
_APART = np.array([0.6, 1.0, 1.0, 0.4, 0.4, 0.7])
_FREEDOM = 4.0  # degrees of, in Student's t: heavy tails
_CHAINS, _STEPS, _SETTLED, _EVERY = 64, 3500, 1500, 10
_STRETCH = 2.0


class TooFewRunsError(ExpectedError, ValueError):
    """Too few runs for a fit, or all of one size and length."""


@dataclass(frozen=True)
class Observation:
    """A run that has ended.

    Attributes:
        parameters, tokens: N and D.
        loss: in any unit, such as bits a byte.
    """

    parameters: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Forecast:
    """A loss to expect.

    Attributes:
        low, high: between them it lies with a probability of 90 %.
    """

    loss: float
    low: float
    high: float


class LossFit:
    """Draws from the laws that explain some runs.

    Args:
        seed: equal seeds and runs give equal forecasts.

    Raises:
        TooFewRunsError: they are fewer than four, or do not differ in size or in length.
    """

    def __init__(self, runs: Sequence[Observation], seed: int = 0) -> None:
        for name, values in (
            ("parameters", {run.parameters for run in runs}),
            ("tokens", {run.tokens for run in runs}),
        ):
            if len(runs) < FEWEST or len(values) < 2:
                raise TooFewRunsError(
                    f"{len(runs)} runs of {len(values)} {name}; a fit needs {FEWEST}, of two sizes "
                    "and two lengths at least"
                )
        self._unit = float(np.median([run.loss for run in runs]))
        self._parameters = float(np.exp(np.mean(np.log([run.parameters for run in runs]))))
        self._tokens = float(np.exp(np.mean(np.log([run.tokens for run in runs]))))
        self._rng = np.random.default_rng(seed)
        self._draws = self._sample(runs)

    def forecast(self, parameters: int, tokens: int) -> Forecast:
        """The loss of so many parameters after so many tokens."""
        error = np.exp(self._draws[:, 5]) * self._rng.standard_t(_FREEDOM, len(self._draws))
        drawn = self._means(self._draws, np.array([parameters]), np.array([tokens]))[:, 0]
        low, middle, high = np.quantile(drawn * np.exp(error), [0.05, 0.5, 0.95]) * self._unit
        return Forecast(float(middle), float(low), float(high))

    def law(self) -> dict[str, float]:
        """Medians of E, A, B, a and b, of N in parameters and D in tokens, for people."""
        e, a, b, alpha, beta = np.exp(np.median(self._draws[:, :5], axis=0))
        return {
            "E": float(e * self._unit),
            "A": float(a * self._unit * self._parameters**alpha),
            "B": float(b * self._unit * self._tokens**beta),
            "alpha": float(alpha),
            "beta": float(beta),
        }

    def _means(self, draws: Floats, parameters: Floats, tokens: Floats) -> Floats:
        """Losses in units of the reference: (draws, 6) and (runs,) to (draws, runs)."""
        e, a, b, alpha, beta = (np.exp(draws[:, place])[:, None] for place in range(5))
        of_size = a * np.exp(-alpha * np.log(parameters / self._parameters)[None])
        of_length = b * np.exp(-beta * np.log(tokens / self._tokens)[None])
        found: Floats = e + of_size + of_length
        return found

    def _sample(self, runs: Sequence[Observation]) -> Floats:
        parameters = np.array([run.parameters for run in runs], dtype=np.float64)
        tokens = np.array([run.tokens for run in runs], dtype=np.float64)
        losses = np.log(np.array([run.loss for run in runs]) / self._unit)

        def weigh(draws: Floats) -> Floats:
            error = np.exp(draws[:, 5])[:, None]
            off = (losses[None] - np.log(self._means(draws, parameters, tokens))) / error
            fits = -(_FREEDOM + 1) / 2 * np.log1p(off * off / _FREEDOM) - np.log(error)
            usual = -0.5 * ((draws - _USUAL) / _APART) ** 2
            found: Floats = fits.sum(axis=1) + usual.sum(axis=1)
            return found

        draws = _USUAL + 0.1 * self._rng.normal(size=(_CHAINS, len(_USUAL)))
        weights, kept = weigh(draws), []
        halves = [np.arange(_CHAINS) % 2 == half for half in (0, 1)]
        for step in range(_STEPS):
            for mine in halves:
                others = draws[~mine]
                count = int(mine.sum())
                partners = others[self._rng.integers(len(others), size=count)]
                stretch = (self._rng.random(count) * (_STRETCH - 1) + 1) ** 2 / _STRETCH
                proposed = partners + stretch[:, None] * (draws[mine] - partners)
                found = weigh(proposed)
                chance = (len(_USUAL) - 1) * np.log(stretch) + found - weights[mine]
                taken = np.log(self._rng.random(count)) < chance
                places = np.flatnonzero(mine)[taken]
                draws[places], weights[places] = proposed[taken], found[taken]
            if step >= _SETTLED and step % _EVERY == 0:
                kept.append(draws.copy())
        return np.concatenate(kept)
