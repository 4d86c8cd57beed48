"""Mixtures for proxies to be trained on: random, and the same whenever they are asked for.

As in RegMix (Liu et al. 2024, arXiv 2407.01492) they come from Dirichlet distributions around what
the sources have, flattened, so that a small source is tried with large shares too. How far a draw
may go from the centre changes from one to the next: some lie near it, some near a corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

Weights = Mapping[str, float]  # of sources; their sum is 1

_FLATTENED = 0.5  # power of the tokens a source has, RegMix's temperature
_LEAST_CENTRE = 0.2  # of an even share: however small a source is, it is tried with more
_PARTS = 1_000  # weights are whole thousandths: a name for each mixture that rounding leaves alone
# Concentration a source, the least and the most: below 1 corners are likelier than the centre.
_CONCENTRATIONS = (0.25, 4.0)
_TRIES = 1_000


class TooFewMixturesError(ExpectedError, ValueError):
    """There are not as many different mixtures as are asked for, or none to ask for."""


def proportional(tokens: Mapping[str, int]) -> dict[str, float]:
    """Each source by what it has."""
    return _rounded(list(tokens), np.array(list(tokens.values()), dtype=np.float64))


def draw(tokens: Mapping[str, int], count: int, seed: int) -> list[dict[str, float]]:
    """Different mixtures of these sources, the proportional one first.

    More of them begin with the same ones.

    Args:
        tokens: of each source.

    Raises:
        TooFewMixturesError: of one source there is one mixture.
    """
    if len(tokens) < 2:
        raise TooFewMixturesError(
            f"one source ({', '.join(tokens) or 'none'}) makes one mixture; two are needed"
        )
    names = sorted(tokens)
    found = [proportional({name: tokens[name] for name in names})]
    centre = np.array([tokens[name] for name in names], dtype=np.float64) ** _FLATTENED
    centre = np.maximum(centre / centre.sum(), _LEAST_CENTRE / len(names))
    centre /= centre.sum()
    low, high = np.log(_CONCENTRATIONS)
    for place in range(1, count):
        concentration = len(names) * np.exp(low + (high - low) * _in_between(place))
        rng = np.random.default_rng([seed, len(names), place])
        for _ in range(_TRIES):
            drawn = _rounded(names, rng.dirichlet(concentration * centre))
            if drawn not in found:
                found.append(drawn)
                break
        else:
            raise TooFewMixturesError(
                f"{len(names)} sources have {place} different mixtures in thousandths that are "
                f"likely enough, and {count} are asked for; lower mix.proxies"
            )
    return found


def plan(
    tokens: Mapping[str, int], added: Sequence[str], first: int, each: int, seed: int
) -> list[dict[str, float]]:
    """The mixtures of a search: `first` of the sources that were there from the beginning, and
    for each that came later so many more of all up to it.

    So the mixtures of before are among those of after, and what was trained on them still counts:
    a source that is not there yet has weight 0.

    Args:
        added: sources that came later, in order.
    """
    beginning = {name: has for name, has in tokens.items() if name not in added}
    found = draw(beginning, first, seed)
    there = dict(beginning)
    for name in added:
        there[name] = tokens[name]
        found += [drawn for drawn in draw(there, each + 1, seed) if drawn not in found][:each]
    return found


def _in_between(place: int) -> float:
    """Of 0 to 1, in an order that fills it evenly however soon it ends (van der Corput 1935)."""
    value, step = 0.0, 0.5
    while place:
        value += step * (place & 1)
        place, step = place >> 1, step / 2
    return value


def _rounded(names: Sequence[str], weights: NDArray[np.float64]) -> dict[str, float]:
    """In thousandths whose sum is 1, by largest remainders; what is left of none is left out."""
    exact = weights / weights.sum() * _PARTS
    parts = np.floor(exact).astype(np.int64)
    left = np.argsort(parts - exact, kind="stable")[: _PARTS - int(parts.sum())]
    parts[left] += 1
    return {name: part / _PARTS for name, part in zip(names, parts.tolist(), strict=True) if part}
