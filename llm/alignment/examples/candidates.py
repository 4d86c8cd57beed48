"""What became of every candidate, written as rows of the tables of the stage `examples`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from llm.alignment.examples.selection import Removal
from llm.alignment.examples.tables import (
    INSTRUCTION,
    PREFERENCE,
    THUMB,
    Dropped,
    Example,
    Outcome,
    instruction_table,
    preference_table,
    thumb_table,
)
from llm.tables import REJECTED as REJECTED_ROWS
from llm.tables import REMOVED as REMOVED_ROWS

KEPT_IN = {INSTRUCTION: "instructions", PREFERENCE: "preferences", THUMB: "thumbs"}
TABLES = (*KEPT_IN.values(), "removed", "rejected")
KEPT, REMOVED, REJECTED = "kept", "removed", "rejected"


class CandidateResult(NamedTuple):
    """What became of a candidate; `reason` is empty for those kept, `split` for those rejected."""

    kind: str
    source: str
    split: str
    result: str
    reason: str


def batches(
    outcomes: Iterable[Outcome],
    removals: Iterable[Removal | None],
    rows: int,
    counts: Counter[CandidateResult],
) -> Iterator[tuple[str, pa.Table]]:
    """(name of the table, rows for it), in the order of the candidates.

    Args:
        removals: of each `Example` among the outcomes, in order.
        rows: held before they are handed out.
        counts: is added to; complete once the iterator is at its end.

    Raises:
        ValueError: there are not as many removals as examples.
    """
    waiting: dict[str, list[Any]] = {name: [] for name in TABLES}
    decided = iter(removals)
    held = 0
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            name = REJECTED if outcome.rejected else REMOVED
            waiting[name].append(_row(outcome.doc_id, outcome, outcome.detail))
            result = CandidateResult(
                outcome.kind, outcome.source, outcome.split, name, outcome.reason
            )
        else:
            result = _decide(outcome, _next(decided), waiting)
        counts[result] += 1
        held += 1
        if held >= rows:
            yield from _tables(waiting)
            held = 0
    yield from _tables(waiting)
    if next(decided, decided) is not decided:
        raise ValueError("more removals than examples: they belong to other candidates")


def _next(decided: Iterator[Removal | None]) -> Removal | None:
    for removal in decided:
        return removal
    raise ValueError("fewer removals than examples: they belong to other candidates")


def _decide(
    example: Example, removal: Removal | None, waiting: Mapping[str, list[Any]]
) -> CandidateResult:
    if removal is None:
        waiting[KEPT_IN[example.kind]].append(example)
        return CandidateResult(example.kind, example.source, example.split, KEPT, "")
    detail = f"{example.where}: {removal.detail}"
    waiting[REMOVED].append(_row(example.doc_id, removal, detail))
    return CandidateResult(example.kind, example.source, example.split, REMOVED, removal.reason)


def _row(doc_id: str, cause: Dropped | Removal, detail: str) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "reason": cause.reason,
        "value": cause.value,
        "threshold": cause.threshold,
        "detail": detail,
    }


def _tables(waiting: Mapping[str, list[Any]]) -> Iterator[tuple[str, pa.Table]]:
    makers: Mapping[str, Callable[[Sequence[Any]], pa.Table]] = {
        "instructions": instruction_table,
        "preferences": preference_table,
        "thumbs": thumb_table,
        REMOVED: lambda rows: pa.Table.from_pylist(rows, schema=REMOVED_ROWS),
        REJECTED: lambda rows: pa.Table.from_pylist(rows, schema=REJECTED_ROWS),
    }
    for name, rows in waiting.items():
        if rows:
            yield name, makers[name](rows)
            rows.clear()
