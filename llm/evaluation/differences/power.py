"""The smallest difference that so many items could show: what "no difference" leaves open."""

from __future__ import annotations

import math

from llm.evaluation.differences.mcnemar import fewest_discordant
from llm.evaluation.differences.pairing import Pair

LEVEL = 0.05
POWER = 0.8


def standard_error(matched: Pair) -> float:
    """Of the difference on two or more items: of a ratio of sums, linearised (Cochran 1977)."""
    change = matched.change
    residuals = change.numerators - change.value * change.denominators
    spread = residuals.std(ddof=1) / change.denominators.mean()
    return float(spread / math.sqrt(matched.n))


def smallest_difference(matched: Pair) -> float | None:
    """The true difference that would be found significant at 5 % four times in five.

    (z(.975) + z(.8)) standard errors (Cohen 1988). Of verdicts it is never less than what makes
    enough items differ for McNemar's test, however alike these two models are: its 6 at the least,
    come as rarely as by a Poisson process.

    Returns:
        `None` for a single item.
    """
    from scipy import special  # not before: every command imports this file

    if matched.n < 2:
        return None
    quantiles = special.ndtri(1 - LEVEL / 2) + special.ndtri(POWER)
    found = float(quantiles) * standard_error(matched)
    if matched.is_of_verdicts:
        expected = float(special.gammaincinv(fewest_discordant(LEVEL), POWER))
        found = max(found, min(1.0, expected / matched.n))
    return found
