"""What each variant of an experiment is worth: its model against the base's, item by item."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from llm.evaluation.differences.differences import Difference, differences
from llm.evaluation.differences.pairing import DifferentItemsError, DifferentWeightsError, pair
from llm.evaluation.items import direction
from llm.evaluation.measure import BITS_PER_BYTE, Measure
from tasks.comparison.comparing import (
    CHANGE,
    RESAMPLES,
    SEED,
    change_text,
    p_text,
    signed,
    smallest_text,
)
from tasks.comparison.contenders import Contender
from tasks.engine.store.artifact import Artifact
from tasks.experiments.definition import Experiment
from tasks.experiments.fixed_text import Text, trained_on, without
from tasks.panels.numbers import NOTHING, counted, number
from tasks.panels.panels import Cell, Panel, Table


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


@dataclass(frozen=True)
class Gain:
    """One measure of a variant against the base.

    Attributes:
        difference: of the means over seeds.
        by_seed: the change with each seed, in order.
    """

    difference: Difference
    by_seed: tuple[float, ...]

    @property
    def between_seeds(self) -> float | None:
        """Standard deviation of the change between seeds; `None` of a single one."""
        return statistics.stdev(self.by_seed) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Worth:
    """A variant, or the base.

    Attributes:
        documents, tokens: that it trains on, once.
        bits_per_byte: mean over seeds, on the common text.
        gains: by bits per byte, then by all else that both were measured by; none of the base.
        same: it is the very model of the base: what was changed changed nothing.
        refused: why a measure could not be compared.
    """

    variant: str
    documents: int
    tokens: int
    bits_per_byte: float
    gains: tuple[Gain, ...] = ()
    same: bool = False
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """An experiment's end.

    Attributes:
        variants: the first is the base.
        items: documents measured on; `left_out`: others that a variant has trained on.
    """

    name: str
    seeds: tuple[int, ...]
    variants: tuple[Worth, ...]
    items: int
    left_out: int


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
        name: [_clean(run.model.measures, seen) for run in each]
        for name, each in by_variant.items()
    }
    base_measures = measured[first.name]
    found = [_worth(base, base_measures)]
    refused: dict[str, list[str]] = {each.name: [] for each in others}
    gains: dict[str, list[Gain]] = {each.name: [] for each in others}
    names = [name for name in base_measures[0] if name != BITS_PER_BYTE]
    # What the experiment is for is corrected by itself, and all the rest together.
    for family in ([BITS_PER_BYTE], names):
        pairs = []
        for metric in family:
            for other in others:
                theirs = measured[other.name]
                if metric not in theirs[0]:
                    continue
                try:
                    pairs.append((other.name, _pairs(base_measures, theirs, metric)))
                except (DifferentItemsError, DifferentWeightsError) as error:
                    refused[other.name].append(str(error))
        compared = differences([each[0] for _, each in pairs], resamples, SEED)
        for (name, (_, by_seed, way)), difference in zip(pairs, compared, strict=True):
            gains[name].append(Gain(replace(difference, direction=way), by_seed))
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


def _clean(measures: Mapping[str, Measure], seen: set[str]) -> dict[str, Measure]:
    found = {}
    for name, measure in measures.items():
        # A part of the text (a source) may be all that a variant trained on.
        if name == BITS_PER_BYTE or any(each.partition(":")[0] not in seen for each in measure.ids):
            found[name] = without(measure, seen)
    return found


def _pairs(
    base: Sequence[Mapping[str, Measure]], theirs: Sequence[Mapping[str, Measure]], metric: str
) -> tuple[Any, tuple[float, ...], int]:
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


def rows_of(found: Result) -> list[dict[str, str]]:
    """The table of variants by bits per byte, as texts."""
    base = found.variants[0]
    rows = []
    for each in found.variants:
        gain = next((one for one in each.gains if one.difference.metric == BITS_PER_BYTE), None)
        row = {
            "variant": each.variant,
            "documents": number(each.documents),
            "+/-": _more(each.documents - base.documents, each is base),
            "tokens": number(each.tokens),
            "+/- ": _more(each.tokens - base.tokens, each is base),
            "bits per byte": f"{each.bits_per_byte:.4f}",
            CHANGE: change_text(gain.difference) if gain else NOTHING,
            "between seeds": _spread(gain),
            "p": p_text(gain.difference.corrected_p) if gain else NOTHING,
            "verdict": "same model" if each.same else gain.difference.verdict if gain else "",
            "could show": smallest_text(gain.difference) if gain else NOTHING,
        }
        if len(found.seeds) < 2:
            del row["between seeds"]
        rows.append(row)
    return rows


def _more(count: int, is_base: bool) -> str:
    return NOTHING if is_base else f"{count:+,}" if count else "0"


def _spread(gain: Gain | None) -> str:
    spread = gain.between_seeds if gain else None
    return NOTHING if spread is None else f"± {spread:.3g}"


def task_rows(found: Result) -> list[dict[str, str]]:
    """Everything else that variants were measured by, as texts."""
    return [
        {
            "measure": gain.difference.metric,
            "variant": each.variant,
            "base": number(gain.difference.before),
            "variant's": number(gain.difference.after),
            CHANGE: change_text(gain.difference),
            "p": p_text(gain.difference.corrected_p),
            "verdict": gain.difference.verdict,
        }
        for each in found.variants
        for gain in each.gains
        if gain.difference.metric != BITS_PER_BYTE
    ]


def in_words(found: Result) -> str:
    """The verdicts by bits per byte, in a sentence."""
    said = []
    for each in found.variants[1:]:
        for gain in each.gains:
            if gain.difference.metric == BITS_PER_BYTE and gain.difference.is_significant:
                change = signed(gain.difference.change.value)
                said.append(f"{each.variant} is {gain.difference.verdict} ({change})")
    return "; ".join(said) or "no variant differs from the base by more than these items can show"


def note(found: Result) -> str:
    """How the table is read."""
    seeds = len(found.seeds)
    over = (
        f" Means over {counted(seeds, 'seed')}; between seeds: the standard deviation of the "
        "change. The intervals are about other documents of this kind, not about other seeds."
        if seeds > 1
        else " One seed: the intervals are about other documents of this kind, and say nothing of "
        "how much another seed would change."
    )
    left_out = (
        f" {counted(found.left_out, 'document')} left out, since a variant trains on "
        f"{'it' if found.left_out == 1 else 'them'} or on near-duplicates."
        if found.left_out
        else ""
    )
    return (
        f"Each variant less the base, on {counted(found.items, 'validation document')} of the base "
        f"whatever the variant removes.{left_out}{over} Intervals by a bootstrap of pairs; p "
        "corrected for the number of variants (Holm); other measures are corrected together. "
        "Documents and tokens: of the training split."
    )


def panels(found: Result) -> list[Panel]:
    """The experiment for the UI."""
    shown: list[Panel] = []
    for title, rows in (("Variants", rows_of(found)), ("Other measures", task_rows(found))):
        if rows:
            lines: list[list[Cell]] = [list(row.values()) for row in rows]
            shown.append(Table(title, list(rows[0]), lines, note(found)))
    return shown


def as_record(found: Result) -> dict[str, Any]:
    """The experiment for programs: JSON-able."""
    return {
        "name": found.name,
        "seeds": list(found.seeds),
        "items": found.items,
        "left_out": found.left_out,
        "variants": [
            {
                "variant": each.variant,
                "documents": each.documents,
                "tokens": each.tokens,
                "bits_per_byte": each.bits_per_byte,
                "same_model": each.same,
                "refused": list(each.refused),
                "gains": [
                    {
                        **asdict(gain.difference),
                        "verdict": gain.difference.verdict,
                        "significant": gain.difference.is_significant,
                        "by_seed": list(gain.by_seed),
                        "between_seeds": gain.between_seeds,
                    }
                    for gain in each.gains
                ],
            }
            for each in found.variants
        ],
    }
