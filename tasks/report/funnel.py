"""Documents on their way through the stages: what came, what stayed, what went and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import InputRecord

# The outputs in which documents go from stage to stage. A stage that only reads them is no step.
_HANDED_ON = ("pages", "documents")


@dataclass(frozen=True)
class Step:
    """One stage of the funnel.

    Attributes:
        handed_on: rows the stage before handed on; `None` where there is none, or where this stage
            was built from other rows than the ones reported on here.
    """

    stage: str
    rows_in: int
    handed_on: int | None
    kept: int
    removed: Mapping[str, int]
    rejected: Mapping[str, int]

    @property
    def left_out(self) -> int:
        """Rows removed or rejected."""
        return sum(self.removed.values()) + sum(self.rejected.values())

    @property
    def adds_up(self) -> bool:
        """In = kept + removed + rejected, and in is what the stage before handed on."""
        return self.rows_in == self.kept + self.left_out and self.handed_on in (None, self.rows_in)


def funnel(artifacts: Mapping[str, Artifact]) -> list[Step]:
    """A step a stage that hands documents on, or packs them.

    Args:
        artifacts: by stage name, in the order of the chain.
    """
    steps = []
    for stage, artifact in artifacts.items():
        packs = artifact.manifest.totals.unit == "token"
        if not packs and not artifact.manifest.outputs.keys() & set(_HANDED_ON):
            continue
        record = _record(artifact)
        handed_on = None if record is None else rows_given(record, artifacts)
        if packs:
            steps.append(_packing_step(artifact, handed_on))
            continue
        totals = artifact.manifest.totals
        if totals.rows_in:
            removed, rejected = totals.removed, totals.rejected
            steps.append(Step(stage, totals.rows_in, handed_on, totals.kept, removed, rejected))
    return steps


def same_rows(record: InputRecord, parent: Artifact) -> bool:
    """Whether an input is what `parent` holds, and not an earlier or later build of it."""
    output = parent.manifest.outputs.get(record.output)
    known = [parent.whole_id()] if output is None else [parent.whole_id(), output.data_id]
    return record.data_id in known


def rows_given(record: InputRecord, artifacts: Mapping[str, Artifact]) -> int | None:
    """Rows of the output an input names; `None` if it is not among these artifacts."""
    parent = artifacts.get(record.stage)
    if parent is None or not same_rows(record, parent):
        return None
    return parent.data(record.output).rows


def shares(steps: Sequence[Step]) -> list[float]:
    """What each step keeps, as a share of what came into the first."""
    first = steps[0].rows_in if steps else 0
    return [step.kept / first if first else 0.0 for step in steps]


def _record(artifact: Artifact) -> InputRecord | None:
    inputs = artifact.manifest.inputs
    return next((inputs[name] for name in _HANDED_ON if name in inputs), None)


def _packing_step(artifact: Artifact, handed_on: int | None) -> Step:
    """pack states its law in tokens; its documents are counted from its tables."""
    tokenised = artifact.data("tokens").rows
    removed, rejected = _by_reason(artifact, "removed"), _by_reason(artifact, "rejected")
    rows_in = tokenised + sum(rejected.values())
    kept = tokenised - sum(removed.values())
    return Step(artifact.stage, rows_in, handed_on, kept, removed, rejected)


def _by_reason(artifact: Artifact, output: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in artifact.data(output).tables(["reason"]):
        for row in table.column("reason").value_counts().to_pylist():
            counts[row["values"]] = counts.get(row["values"], 0) + row["counts"]
    return dict(sorted(counts.items()))
