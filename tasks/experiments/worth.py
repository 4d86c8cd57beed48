"""What each variant of an experiment is worth: its model against the base's, item by item."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llm.evaluation.differences.differences import differences
from llm.evaluation.differences.holm import adjusted
from llm.evaluation.differences.pairing import (
    DifferentItemsError,
    DifferentWeightsError,
    Pair,
    pair,
)
from llm.evaluation.differences.seeds import with_seeds
from llm.evaluation.items import direction
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from tasks.comparison.comparing import RESAMPLES, SEED
from tasks.comparison.contenders import Contender
from tasks.engine.store.artifact import Artifact
from tasks.experiments.definition import Experiment
from tasks.experiments.fixed_text import Text, all_without, trained_on
from tasks.findings.result import Gain, Result, Worth


@dataclass(frozen=True)
class Run:
    """One variant with one seed, built and measured.

    Attributes:
        text: what it would be measured on by itself.
        packed: the artifact of `pack`, that counts what it trains on.
    """

    variant: str
    seed: int
    model: Contender
    text: Text
    packed: Artifact


def result(experiment: Experiment, runs: Sequence[Run], resamples: int = RESAMPLES) -> Result:
    """Hold every variant against the base, on text that none has trained on.

    Raises:
        ExperimentError: there is no such text.
    """
    first, *others = experiment.variants
    by_variant = {
        each.name: [run for run in runs if run.variant == each.name] for each in experiment.variants
    }
    base = by_variant[first.name]
    seen = trained_on(base[0].text, [run.text for run in runs])
    measured = {
        name: [all_without(run.model.measures, seen) for run in each]
        for name, each in by_variant.items()
    }
    base_measures = measured[first.name]
    found = [_worth(base, base_measures)]
    refused: dict[str, list[str]] = {each.name: [] for each in others}
    gains: dict[str, list[Gain]] = {each.name: [] for each in others}
    names = [name for name in base_measures[0] if name != BITS_PER_BYTE]
    # What the experiment is for is corrected by itself, and all the rest together.
    for family in ([BITS_PER_BYTE], names):
        compared: list[tuple[str, Gain]] = []
        for metric in family:
            pairs = []
            for other in others:
                theirs = measured[other.name]
                if metric not in theirs[0]:
                    continue
                try:
                    pairs.append((other.name, *_pairs(base_measures, theirs, metric)))
                except (DifferentItemsError, DifferentWeightsError) as error:
                    refused[other.name].append(str(error))
            compared += _gains(pairs, resamples)
        corrected = adjusted([gain.difference.p for _, gain in compared])
        for (name, gain), p in zip(compared, corrected, strict=True):
            gains[name].append(replace(gain, difference=replace(gain.difference, corrected_p=p)))
    for other in others:
        runs_of = by_variant[other.name]
        same = all(
            one.model.is_same(another.model) for one, another in zip(runs_of, base, strict=True)
        )
        whole = _worth(runs_of, measured[other.name])
        found.append(
            replace(
                whole,
                gains=tuple(gains[other.name]),
                same=same,
                refused=tuple(refused[other.name]),
            )
        )
    whole_text = base[0].model.measures[BITS_PER_BYTE]
    kept = len(base_measures[0][BITS_PER_BYTE].ids)
    left_out = len(whole_text.ids) - kept
    return Result(experiment.name, experiment.seeds, tuple(found), kept, left_out)


def _gains(
    pairs: Sequence[tuple[str, Pair, tuple[float, ...], int]], resamples: int
) -> list[tuple[str, Gain]]:
    """Of one measure, by variant; p not corrected.

    Args:
        pairs: of each variant its name, and what `_pairs` gives.
    """
    of_items = differences([matched for _, matched, _, _ in pairs], resamples, SEED)
    found = with_seeds(of_items, [by_seed for _, _, by_seed, _ in pairs])
    return [
        (name, Gain(replace(difference, direction=way), by_seed))
        for (name, _, by_seed, way), difference in zip(pairs, found, strict=True)
    ]


def _pairs(
    base: Sequence[Mapping[str, Measure]], theirs: Sequence[Mapping[str, Measure]], metric: str
) -> tuple[Pair, tuple[float, ...], int]:
    """Means over seeds of both as a pair, the change with each seed, and which way is better."""
    matched = [
        pair(one[metric], other[metric], shared=False)
        for one, other in zip(base, theirs, strict=True)
    ]
    before = _mean([each.before for each in matched])
    after = _mean([each.after for each in matched])
    by_seed = tuple(each.after.value - each.before.value for each in matched)
    way = min((direction(one[metric]) for one in (base[0], theirs[0])), key=abs)
    return pair(before, after, shared=False), by_seed, way


def _mean(measures: Sequence[Measure]) -> Measure:
    """Of one measure with several seeds: item by item, so that the items stay paired."""
    first = measures[0]
    if len(measures) == 1:
        return first
    values = [one.on(first.ids).numerators for one in measures]
    return replace(first, numerators=np.mean(values, axis=0))


def _worth(runs: Sequence[Run], measures: Sequence[Mapping[str, Measure]]) -> Worth:
    train = runs[0].packed.facts["splits"]["train"]
    bits = statistics.fmean(each[BITS_PER_BYTE].value for each in measures)
    return Worth(runs[0].variant, train["documents"], train["tokens"], bits)
