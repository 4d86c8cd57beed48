"""Whether what was built last may take the place of what is in use: challenger and champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm.evaluation.differences.differences import Difference
from tasks.comparison.comparing import Comparison, ComparisonError, compare
from tasks.comparison.contenders import Contender
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Artifact
from tasks.panels.numbers import number

_MODEL = "model"


class NotBetterError(IngotError):
    """A challenger may not take the champion's place; says by which measure, and how surely."""


@dataclass(frozen=True)
class Judged:
    """Champion and challenger by the measures that decide.

    Attributes:
        objections: against the challenger; none = it may take the place.
    """

    comparison: Comparison
    objections: tuple[str, ...]


def judge(
    champion: Contender,
    challenger: Contender,
    better: Sequence[str],
    not_worse: Sequence[str],
    shared_items: bool = False,
    margin: float = 0.0,
) -> Judged:
    """Ask for a significant gain by some measures, and for no significant loss by others.

    Each measure is a test of its own at 5 %: what has to be better by all of several is not found
    so more often by chance, and what guards against a loss is to see it.

    Args:
        margin: above 0 it is enough by `better` not to be worse by more than this share of the
            champion's value, as far as the interval reaches (non-inferiority).

    Raises:
        ComparisonError: a measure is not there, or has no better way.
        DifferentItemsError, DifferentWeightsError: the two were not measured on the same.
        NotBetterError: both are one model of one evaluation.
    """
    if challenger.is_same(champion):
        raise NotBetterError(
            f"{champion.label} is what was evaluated last already: there is no other to take its "
            "place"
        )
    rows, objections = [], []
    for metric in dict.fromkeys([*better, *not_worse]):
        [row] = compare([champion, challenger], [metric], shared_items).rows
        found = row.difference
        if not found.direction:
            raise ComparisonError(f"{metric}: neither way is better, so it decides nothing")
        rows.append(row)
        if metric in better and margin > 0:
            if _loss_at_most(found) > margin * abs(found.before):
                objections.append(f"maybe worse by more than {margin:.2%} by {_in_words(found)}")
        elif metric in better and found.verdict != "better":
            objections.append(f"not better by {_in_words(found)}")
        elif found.verdict == "worse":
            objections.append(f"worse by {_in_words(found)}")
    return Judged(Comparison((champion, challenger), tuple(rows), ()), tuple(objections))


def _loss_at_most(row: Difference) -> float:
    """How far on the worse side the interval ends; infinite without one."""
    end = row.change.low if row.direction > 0 else row.change.high
    return math.inf if end is None else -row.direction * end


def _in_words(row: Difference) -> str:
    change = row.change
    ends = left_open = ""
    if change.low is not None and change.high is not None:
        ends = f", between {number(change.low)} and {number(change.high)} with 95 %"
    if row.verdict == "no difference" and row.smallest is not None:
        left_open = f", of which {row.smallest:.2g} could show"
    return (
        f"{row.metric}: {number(row.before)} -> {number(row.after)}, a change of "
        f"{number(change.value)}{ends} on {number(change.n)} items: {row.verdict}{left_open}"
    )


def require_measured(evaluation: Artifact, built: Mapping[str, Artifact]) -> None:
    """Make sure that an evaluation is of the models that would be promoted.

    Args:
        built: by stage.

    Raises:
        NotBetterError: it measured another build of one.
    """
    for name, record in evaluation.manifest.inputs.items():
        artifact = built.get(record.stage)
        if record.output != _MODEL or artifact is None:
            continue
        if artifact.manifest.outputs[_MODEL].data_id != record.data_id:
            raise NotBetterError(
                f"{name}: {record.stage} was built again since {evaluation.stage} measured it; "
                f"`ingot run --from {evaluation.stage}` measures the one that would be promoted"
            )
