"""What a report says of safety: figures of `evaluate`, the judge's grade, and what is missing."""

from __future__ import annotations

from llm.evaluation.safety.subjects import JUDGED_SAFETY, is_of_safety, unmeasured
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Table
from tasks.stages.evaluate_panels import safety_table

_SCORES = "scores"


def safety_panels(evaluated: Artifact | None, judged: Artifact | None) -> list[Panel]:
    """Figures side by side, and a list of what was not measured; nothing where no model was
    measured at all."""
    if evaluated is None and judged is None:
        return []
    rows = [row for row in _rows(evaluated) if is_of_safety(str(row["metric"]))]
    rows += [row for row in _rows(judged) if row["metric"] == JUDGED_SAFETY]
    missing: list[list[Cell]] = [[text] for text in unmeasured([str(r["metric"]) for r in rows])]
    shown: list[Panel] = [safety_table("Measured", rows)] if rows else []
    return [*shown, Table("Not measured", ["what nothing is known of"], missing)]


def _rows(artifact: Artifact | None) -> list[dict[str, Cell]]:
    if artifact is None or _SCORES not in artifact.manifest.outputs:
        return []
    found: list[dict[str, Cell]] = artifact.data(_SCORES).table().to_pylist()
    return found
