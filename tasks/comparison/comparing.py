"""Models compared: which is better by which measure, by how much and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llm.evaluation.differences.differences import Difference, differences
from llm.evaluation.differences.pairing import (
    DifferentItemsError,
    DifferentWeightsError,
    Pair,
    pair,
)
from llm.evaluation.measure import GRADE
from tasks.comparison.contenders import Contender
from tasks.engine.errors import IngotError
from tasks.panels.numbers import NOTHING, counted, number
from tasks.panels.panels import Cell, Panel, Table

RESAMPLES = 10_000
SEED = 0
CHANGE = "change (95 %)"


class ComparisonError(IngotError):
    """What is asked cannot be compared; says why."""


@dataclass(frozen=True)
class Row:
    """One measure of one model against the first."""

    model: str
    difference: Difference


@dataclass(frozen=True)
class Refusal:
    """What was not compared, and why."""

    model: str
    metric: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """The first model against each of the others.

    Attributes:
        contenders: the first is what the others are held against.
        rows: measure by measure; `refused`: what could not be compared.
    """

    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]


def compare(
    contenders: Sequence[Contender],
    measures: Sequence[str] = (),
    shared_items: bool = False,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Hold every model against the first; all that is compared is corrected together.

    Args:
        measures: by which; none = by all that both have and that are of the same items.
        shared_items: where two models were measured on different items, go by those they share.

    Raises:
        ComparisonError: there are too few models, or one stands twice; a measure that was asked
            for is not there; or nothing can be compared.
        DifferentItemsError, DifferentWeightsError: of a measure that was asked for.
    """
    labels = [one.label for one in contenders]
    if len(labels) < 2:
        raise ComparisonError("name two models or more: the first is what the others are held to")
    if len(set(labels)) < len(labels):
        raise ComparisonError(f"a model stands twice among {', '.join(labels)}")
    first, *others = contenders
    _require_measures(contenders, measures)
    names = list(dict.fromkeys(name for one in contenders for name in one.measures))
    pairs: list[tuple[str, Pair]] = []
    refused: list[Refusal] = []
    for name in measures or names:
        for other in others:
            try:
                pairs.append((other.label, _pair(first, other, name, shared_items)))
            except (DifferentItemsError, DifferentWeightsError, ComparisonError) as error:
                if measures:
                    raise
                refused.append(Refusal(other.label, name, str(error)))
    if not pairs:
        raise ComparisonError("nothing can be compared: " + "; ".join(one.why for one in refused))
    found = differences([matched for _, matched in pairs], resamples, SEED)
    rows = [Row(label, one) for (label, _), one in zip(pairs, found, strict=True)]
    return Comparison(tuple(contenders), tuple(rows), tuple(refused))


def _pair(first: Contender, other: Contender, name: str, shared_items: bool) -> Pair:
    for one in (first, other):
        if name not in one.measures:
            raise ComparisonError(f"{name}: {one.label} was not measured by it")
    if name.partition("/")[0] == GRADE and first.judge != other.judge:
        raise ComparisonError(
            f"{name}: {first.label} was graded by {first.judge}, {other.label} by {other.judge}; "
            "`ingot run --only judge` of both recipes with one judge"
        )
    try:
        return pair(first.measures[name], other.measures[name], shared_items)
    except (DifferentItemsError, DifferentWeightsError) as error:
        error.add_note(f"Compared: {first.label} (first) and {other.label} (second).")
        raise


def _require_measures(contenders: Sequence[Contender], measures: Sequence[str]) -> None:
    for name in measures:
        for one in contenders:
            if name not in one.measures:
                raise ComparisonError(
                    f"{name}: {one.label} was not measured by it, only by {', '.join(one.measures)}"
                )


def in_words(found: Comparison) -> str:
    """The verdicts, in a sentence a model."""
    first = found.contenders[0].label
    said = []
    for one in found.contenders[1:]:
        rows = [row.difference for row in found.rows if row.model == one.label]
        marked = [f"{row.verdict} by {row.metric}" for row in rows if row.is_significant]
        if one.is_same(found.contenders[0]):
            marked = ["the same model of the same evaluation"]
        said.append(f"{one.label} against {first}: {', '.join(marked) or 'no difference seen'}")
    return "; ".join(said)


def rows_of(found: Comparison) -> list[dict[str, str]]:
    """The comparison as a table of texts."""
    return [
        {
            "measure": row.difference.metric,
            "model": row.model,
            "verdict": row.difference.verdict,
            CHANGE: change_text(row.difference),
            "p": p_text(row.difference.corrected_p),
            found.contenders[0].label: number(row.difference.before),
            "this model": number(row.difference.after),
            "n": number(row.difference.change.n),
            "could show": smallest_text(row.difference),
        }
        for row in found.rows
    ]


def panels(found: Comparison) -> list[Panel]:
    """The comparison, what was left out of it, and where the models come from."""
    rows = rows_of(found)
    names = {found.contenders[0].label: "first model"}  # a page has no room for long ones
    if len(found.contenders) == 2:
        rows = [{name: text for name, text in row.items() if name != "model"} for row in rows]
        names["this model"] = "second model"
    lines: list[list[Cell]] = [list(row.values()) for row in rows]
    shown: list[Panel] = [
        Table("Differences", [names.get(name, name) for name in rows[0]], lines, note(found))
    ]
    if found.refused:
        refused: list[list[Cell]] = [[one.metric, one.model, one.why] for one in found.refused]
        shown.append(Table("Not compared", ["measure", "model", "why"], refused))
    models: list[list[Cell]] = [
        [
            one.label,
            one.evaluation.folder,
            one.evaluation.manifest.timings.started[:16].replace("T", " "),
        ]
        for one in found.contenders
    ]
    shown.append(Table("Models", ["model", "evaluation", "measured (UTC)"], models))
    return shown


def note(found: Comparison) -> str:
    """How the table of differences is read."""
    left_out = sum(row.difference.left_out for row in found.rows)
    apart = f" {counted(left_out, 'item')} that only one was measured on left out." * bool(left_out)
    return (
        f"Each model less the first, {found.contenders[0].label}, on the same items. Intervals by "
        "a bootstrap of pairs; p by McNemar's exact test for verdicts, else by the bootstrap, and "
        f"corrected for {counted(len(found.rows), 'comparison')} (Holm). Could show: the true "
        "difference that so many items would find significant four times in five."
        + apart
        + " All of it is "
        "about other items of this kind, not about other seeds of the same training."
    )


def as_record(found: Comparison) -> dict[str, Any]:
    """The comparison for programs: JSON-able."""
    return {
        "models": [
            {"name": one.name, "model": one.model, "evaluation": one.evaluation.folder}
            for one in found.contenders
        ],
        "rows": [
            {
                "model": row.model,
                **asdict(row.difference),
                "significant": row.difference.is_significant,
                "verdict": row.difference.verdict,
            }
            for row in found.rows
        ],
        "refused": [asdict(one) for one in found.refused],
    }


def change_text(row: Difference) -> str:
    """What changed, with its interval in brackets."""
    change = row.change
    if change.low is None or change.high is None:
        return signed(change.value)
    return f"{signed(change.value)} [{signed(change.low)}, {signed(change.high)}]"


def smallest_text(row: Difference) -> str:
    """The smallest difference that so many items could show."""
    return NOTHING if row.smallest is None else f"{row.smallest:.2g}"


def signed(value: float) -> str:
    """A change to three digits, with its sign."""
    return f"{value:+.3g}" if value else "0"


def p_text(value: float) -> str:
    """A p-value to two digits."""
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"
