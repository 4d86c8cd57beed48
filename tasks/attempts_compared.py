"""Two attempts at a stage side by side: config, counts, documents that changed sides, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from llm.rows import rows_among
from llm.tables import REJECTED, REMOVED
from tasks.engine.run.difference import value_difference
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import Manifest, columns_of
from tasks.panels.numbers import NOTHING, counted, number
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.registry import STAGES

KEPT = "kept"
_SAMPLES_A_MOVE, _SAMPLE_CHARS = 3, 400
Measured = tuple[float, float | None, float | None]
_MEASURED = {"model", "metric", "value"}
_SHOWN = ("doc_id", "url", "title", "text")


@dataclass(frozen=True)
class Move:
    """Documents that both attempts were given and that came out otherwise.

    Attributes:
        before, after: `kept`, or the output they went to and the reason: "removed: near".
        samples: a few rows, those of smallest doc_id, as far as a kept output has them.
    """

    before: str
    after: str
    count: int
    samples: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Score:
    """One measure of one model in both attempts; null = not measured there.

    Attributes:
        before, after: value, and its 95 % interval.
    """

    model: str
    metric: str
    before: Measured | None
    after: Measured | None

    def said(self) -> str:
        """Both, in words."""
        return f"{_value(self.before)} -> {_value(self.after)}"


@dataclass(frozen=True)
class Difference:
    """What is another in the second attempt.

    Attributes:
        changes: "place: old -> new" of config, inputs, code, totals, output digests.
        counts: what was counted, and how often in each.
        arrived, left: documents only the one or the other was given.
        moves: the most frequent first.
    """

    changes: tuple[str, ...]
    counts: tuple[tuple[str, int, int], ...]
    arrived: int
    left: int
    moves: tuple[Move, ...]
    scores: tuple[Score, ...]


def difference(before: Artifact, after: Artifact, documents: bool = True) -> Difference:
    """Compare two artifacts; what hangs on the stage only where both are of one.

    Args:
        documents: look at every document, too: its id in both takes some 100 bytes of memory.
    """
    one, other = before.manifest, after.manifest
    changes = tuple(value_difference(_facts(one), _facts(other)))
    counts = _counts(one, other)
    same = documents and before.stage == after.stage
    arrived, left, moves = _moves(before, after) if same else (0, 0, ())
    return Difference(changes, counts, arrived, left, moves, _scores(before, after))


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "config": manifest.config,
        "inputs": manifest.input_ids(),
        "code": {"version": manifest.code.version, "files": manifest.code.files},
        "libraries": manifest.code.libraries,
        "totals": manifest.totals.model_dump(),
        "outputs": {name: output.data_id for name, output in manifest.outputs.items()},
    }


def _counts(one: Manifest, other: Manifest) -> tuple[tuple[str, int, int], ...]:
    def counted_in(manifest: Manifest) -> dict[str, int]:
        totals = manifest.totals
        found = {f"{totals.unit}s in": totals.rows_in, f"{totals.unit}s kept": totals.kept}
        for fate, reasons in (("removed", totals.removed), ("rejected", totals.rejected)):
            found |= {f"{fate}: {reason}": count for reason, count in sorted(reasons.items())}
        return found

    was, now = counted_in(one), counted_in(other)
    names = dict.fromkeys([*was, *now])
    return tuple((name, was.get(name, 0), now.get(name, 0)) for name in names)


def _fates(artifact: Artifact) -> pa.Table | None:
    """doc_id and what became of it; `None` where the stage's rows are no documents."""
    rule = STAGES[artifact.stage].conservation
    outputs = artifact.manifest.outputs
    if rule is None or rule.removed is None or not rule.ids:
        return None
    if outputs[rule.removed].columns != columns_of(REMOVED):
        return None
    parts = [
        pa.table({"doc_id": table.column("doc_id"), "fate": pa.repeat(KEPT, table.num_rows)})
        for table in artifact.data(rule.kept).tables(["doc_id"])
    ]
    for name, schema in ((rule.removed, REMOVED), (rule.rejected, REJECTED)):
        if name is None or outputs[name].columns != columns_of(schema):
            continue
        for table in artifact.data(name).tables(["doc_id", "reason"]):
            fates = [f"{name}: {reason}" for reason in table.column("reason").to_pylist()]
            parts.append(
                pa.table({"doc_id": table.column("doc_id"), "fate": pa.array(fates, pa.string())})
            )
    empty = pa.table({"doc_id": pa.array([], pa.string()), "fate": pa.array([], pa.string())})
    return pa.concat_tables([empty, *parts])


def _moves(before: Artifact, after: Artifact) -> tuple[int, int, tuple[Move, ...]]:
    import pyarrow.compute as pc

    was, now = _fates(before), _fates(after)
    if was is None or now is None:
        return 0, 0, ()
    joined = was.join(now, "doc_id", join_type="full outer", right_suffix="_after")
    arrived = joined.column("fate").null_count
    left = joined.column("fate_after").null_count
    moved = joined.filter(pc.not_equal(joined.column("fate"), joined.column("fate_after")))
    groups: dict[tuple[str, str], list[str]] = {}
    for row in moved.sort_by("doc_id").to_pylist():
        groups.setdefault((row["fate"], row["fate_after"]), []).append(row["doc_id"])
    shown = {doc_id for ids in groups.values() for doc_id in ids[:_SAMPLES_A_MOVE]}
    texts = {**_texts(before, shown), **_texts(after, shown)}
    moves = [
        Move(*fates, len(ids), tuple(texts.get(i, {"doc_id": i}) for i in ids[:_SAMPLES_A_MOVE]))
        for fates, ids in groups.items()
    ]
    ordered = sorted(moves, key=lambda move: (-move.count, move.before, move.after))
    return arrived, left, tuple(ordered)


def _texts(artifact: Artifact, doc_ids: set[str]) -> dict[str, dict[str, Any]]:
    """What the kept rows of these ids say, by doc_id."""
    rule = STAGES[artifact.stage].conservation
    assert rule is not None
    data = artifact.data(rule.kept)
    have = _columns(artifact, rule.kept)
    columns = [name for name in _SHOWN if name in have]
    found = {}
    for table in data.tables(columns) if doc_ids else ():
        for row in rows_among(table, doc_ids).to_pylist():
            row["text"] = (row.get("text") or "")[:_SAMPLE_CHARS]
            found[row["doc_id"]] = row
    return found


def _scores(before: Artifact, after: Artifact) -> tuple[Score, ...]:
    was, now = _values(before), _values(after)
    return tuple(
        Score(model, metric, was.get((model, metric)), now.get((model, metric)))
        for model, metric in dict.fromkeys([*was, *now])
    )


def _values(artifact: Artifact) -> dict[tuple[str, str], Measured]:
    if not _columns(artifact, "scores") >= _MEASURED:
        return {}
    return {
        (row["model"], row["metric"]): (row["value"], row.get("low"), row.get("high"))
        for row in artifact.data("scores").table().to_pylist()
    }


def _columns(artifact: Artifact, output: str) -> set[str]:
    """Names of the columns of a table; none where there is no such table."""
    record = artifact.manifest.outputs.get(output)
    return {column.partition(":")[0] for column in (record and record.columns) or ()}


def panels(found: Difference) -> list[Panel]:
    """The same, to show."""
    rows: list[list[Cell]] = [[change] for change in found.changes]
    shown: list[Panel] = [Table("What is another", ["place: old -> new"], rows)]
    counts: list[list[Cell]] = [[name, a, b, b - a] for name, a, b in found.counts]
    shown.append(Table("Counts", ["", "before", "after", "change"], counts))
    moves: list[list[Cell]] = [[move.count, move.before, move.after] for move in found.moves]
    if found.arrived or found.left or moves:
        note = (
            f"{counted(found.arrived, 'document')} only the second attempt was given, "
            f"{found.left:,} only the first."
        )
        shown.append(
            Table("Documents that changed sides", ["documents", "before", "after"], moves, note)
        )
    items = [
        Sample(
            heading=f"{move.before} -> {move.after}",
            text=row.get("text") or "",
            facts={name: row.get(name) for name in ("doc_id", "url", "title")},
        )
        for move in found.moves
        for row in move.samples
    ]
    if items:
        shown.append(Samples("Some of them", items))
    if found.scores:
        scores: list[list[Cell]] = [
            [score.metric, score.model, _value(score.before), _value(score.after), _gain(score)]
            for score in found.scores
        ]
        note = "In brackets: 95 % interval. `ingot compare` tells a difference from chance."
        shown.append(
            Table("Scores", ["metric", "model", "before", "after", "change"], scores, note)
        )
    return shown


def _value(value: Measured | None) -> str:
    if value is None:
        return NOTHING
    middle, low, high = value
    interval = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return f"{number(middle)}{interval}"


def _gain(score: Score) -> str:
    if score.before is None or score.after is None:
        return NOTHING
    return number(score.after[0] - score.before[0])
