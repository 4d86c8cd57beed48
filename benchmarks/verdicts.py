"""Verdicts of short trainings against those of long ones, and what a measure tells apart."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from llm.evaluation.differences.differences import Difference, differences
from llm.evaluation.differences.pairing import Pair, pair
from llm.evaluation.differences.power import standard_error
from llm.evaluation.differences.seeds import for_other_seeds
from llm.evaluation.measure import Measure
from tasks.comparison.comparing import RESAMPLES, SEED

Measured = Mapping[str, Mapping[str, Measure]]  # by recipe, by name
NONE = "no difference"


def matched(measured: Measured, metric: str) -> dict[tuple[str, str], Pair]:
    """Every pair of recipes on the same items."""
    return {
        (one, other): pair(measured[one][metric], measured[other][metric], shared=False)
        for one, other in itertools.combinations(measured, 2)
    }


def verdicts(
    measured: Measured, metric: str, resamples: int = RESAMPLES
) -> dict[tuple[str, str], Difference]:
    """Of every pair of recipes what `ingot compare` says by one measure: each a test of its own.

    It knows of the items alone: of another seed of the same two recipes nothing.
    """
    return {
        names: differences([each], resamples, SEED)[0]
        for names, each in matched(measured, metric).items()
    }


def beyond_seeds(
    found: Mapping[tuple[str, str], Difference], metric: str, seeds: Sequence[Mapping[str, Measure]]
) -> dict[tuple[str, str], Difference]:
    """Verdicts that hold for other seeds too, as those of `ingot experiment` with several seeds do.

    Each recipe of a pair was trained from one seed, so that seeds give their difference twice the
    variance they give one of them: that of the recipe which has several, for all.

    Args:
        seeds: measures of one recipe with several seeds; as they are where there is one.
    """
    values = [each[metric].value for each in seeds]
    if len(values) < 2:
        return dict(found)
    of_seeds, freedom = 2 * statistics.variance(values), len(values) - 1
    return {names: for_other_seeds(each, of_seeds, freedom) for names, each in found.items()}


def pair_rows(
    short: Mapping[tuple[str, str], Difference], long: Mapping[tuple[str, str], Difference]
) -> list[dict[str, Any]]:
    """A row a pair; `agrees` is none where the short runs dare no verdict."""
    rows = []
    for names, early in short.items():
        late = long[names]
        dared = early.verdict != NONE
        rows.append(
            {
                "name": f"{names[1]} against {names[0]}",
                "short": _figures(early),
                "long": _figures(late),
                "agrees": early.verdict == late.verdict if dared else None,
            }
        )
    return rows


def agreement(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the pairs of which the short runs dare a verdict, the share with the long runs' one.

    Where the long runs dare none, they do not agree. `None` where no verdict is dared.
    """
    dared = [row["agrees"] for row in rows if row["agrees"] is not None]
    return sum(dared) / len(dared) if dared else None


def _figures(found: Difference) -> dict[str, Any]:
    change = found.change
    return {
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "p": found.p,
        "verdict": found.verdict,
    }


def measure_row(
    metric: str, short: Measured, long: Measured, seeds: Sequence[Mapping[str, Measure]]
) -> dict[str, Any]:
    """How far a measure of the short runs tells recipes apart, against what else moves it.

    `signal` is the standard deviation between recipes; `item_noise` that of one recipe by other
    items, from the paired differences; `seed_noise` that of one recipe by other seeds, `None` of a
    single one.

    Args:
        seeds: measures of one recipe with several seeds.
    """
    signal = statistics.stdev(each[metric].value for each in short.values())
    errors = [standard_error(each) for each in matched(short, metric).values()]
    item_noise = statistics.median(errors) / 2**0.5  # a difference has the noise of two
    values = [each[metric].value for each in seeds]
    seed_noise = statistics.stdev(values) if len(values) > 1 else None
    early = beyond_seeds(verdicts(short, metric), metric, seeds)
    rows = pair_rows(early, verdicts(long, metric))
    return {
        "name": metric,
        "items": len(next(iter(short.values()))[metric].ids),
        "signal": signal,
        "item_noise": item_noise,
        "seed_noise": seed_noise,
        "signal_over_item_noise": signal / item_noise if item_noise else None,
        "signal_over_seed_noise": signal / seed_noise if seed_noise else None,
        "dared": sum(row["agrees"] is not None for row in rows),
        "agreement": agreement(rows),
    }
