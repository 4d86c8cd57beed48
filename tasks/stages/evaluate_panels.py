"""What `evaluate` shows: models side by side, what changed, how safe they are, what they say."""

from __future__ import annotations

from llm.evaluation.safety.subjects import is_of_safety, subject
from llm.evaluation.score_tables import CHANGE
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Sample, Table
from tasks.panels.panels import Samples as SamplesPanel

_SAMPLES_SHOWN = 60
SAFETY_NOTE = (
    "In brackets: 95 % interval after Wilson, of a grade by a bootstrap. What rules find, and no "
    "more."
)


def panels(artifact: Artifact) -> list[Panel]:
    """Models side by side, what changed from one to the next, and what they say."""
    rows = artifact.data("scores").table().to_pylist()
    safety = [row for row in rows if is_of_safety(row["metric"])]
    rows = [row for row in rows if row not in safety]
    scores = [row for row in rows if not row["metric"].endswith(CHANGE)]
    changes = [row for row in rows if row["metric"].endswith(CHANGE)]
    facts = artifact.facts
    note = (
        f"{facts['validation_bytes']} bytes of {facts['validation_documents']} validation "
        f"documents, {facts['validation_instructions']} instructions, "
        f"{facts['validation_preferences']} pairs. In brackets: 95 % bootstrap interval."
    )
    shown: list[Panel] = [_side_by_side("Scores", scores, note)]
    if changes:
        difference = "Differences from the model before, on the same units, resampled in pairs."
        shown.append(_side_by_side("Changes", changes, difference))
    if safety:
        shown.append(safety_table("Safety", safety))
    if facts["tasks"]:
        shown.append(_task_table(artifact))
    shown.append(_left_out_table(artifact))
    samples = artifact.data("samples").table().slice(0, _SAMPLES_SHOWN).to_pylist()
    items = [
        Sample(row["prompt"], row["completion"], {"model": row["model"]})
        for row in sorted(samples, key=lambda row: str(row["prompt"]))
    ]
    if items:
        shown.append(SamplesPanel("What the models say", items, "The most probable token each."))
    return shown


def safety_table(title: str, rows: list[dict[str, Cell]]) -> Table:
    """Figures of safety (metric, model, value, low, high) in words, a model a column, and how many
    items the first model was measured on."""
    told = _side_by_side(title, rows, SAFETY_NOTE)
    n = {str(row["metric"]): row.get("n") for row in reversed(rows)}
    lines = [[subject(str(line[0])), *line[1:], n[str(line[0])]] for line in told.rows]
    return Table(title, [*told.columns, "items"], lines, SAFETY_NOTE)


def _side_by_side(title: str, rows: list[dict[str, Cell]], note: str) -> Table:
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    cells = {(row["metric"], row["model"]): _with_interval(row) for row in rows}
    lines: list[list[Cell]] = [
        [metric.removesuffix(CHANGE), *(cells.get((metric, model)) for model in models)]
        for metric in metrics
    ]
    return Table(title, ["metric", *models], lines, note)


def _with_interval(row: dict[str, Cell]) -> str:
    value = f"{row['value']:.4g}"
    if row["low"] is None:
        return value
    return f"{value} [{row['low']:.4g}, {row['high']:.4g}]"


def _task_table(artifact: Artifact) -> Table:
    """What the tasks are, and what a draw among the choices would score."""
    rows: list[list[Cell]] = [
        [name, task["kind"].replace("_", " "), task["items"], task["chance"]]
        for name, task in artifact.facts["tasks"].items()
    ]
    return Table("Tasks", ["task", "kind", "items", "chance"], rows)


def _left_out_table(artifact: Artifact) -> Table:
    """Validation rows and items of tasks that a model could not be measured on."""
    rows: list[list[Cell]] = [
        [model, kind, reason, count]
        for model, kinds in artifact.facts["left_out"].items()
        for kind, reasons in kinds.items()
        for reason, count in sorted(reasons.items())
    ]
    note = (
        "Validation rows that are no conversation, or, as prompts, too long for the context; items "
        "of tasks without an answer that can be scored."
    )
    return Table("Rows not measured on", ["model", "rows", "reason", "count"], rows, note)
