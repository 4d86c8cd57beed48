"""What `index` shows: how much of what can be found, and what that takes on the disk."""

from __future__ import annotations

from llm.corpus.attribution.tables import ANSWER_SETS, LEFT_OUT, TRAINED
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Table


def panels(artifact: Artifact) -> list[Panel]:
    """Texts, bytes and bytes on the disk of each set, and why documents were left out."""
    facts = artifact.facts
    rows: list[list[Cell]] = []
    for kind in (TRAINED, *ANSWER_SETS, LEFT_OUT):
        texts, size, stored = (facts[f"{kind}_{name}"] for name in ("texts", "text_bytes", "bytes"))
        if texts:
            rows.append([kind, texts, size, stored, stored / size if size else None])
    shown: list[Panel] = [
        Table(
            "Texts that can be found",
            ["texts", "number", "bytes of text", "bytes on disk", "bytes a byte"],
            rows,
            "left_out was never trained on: a text found there alone was seen and taken out.",
        )
    ]
    left = artifact.data(LEFT_OUT).table(["stage", "reason"])
    if left.num_rows:
        counted = left.group_by(["stage", "reason"]).aggregate([([], "count_all")])
        order = [("count_all", "descending"), ("stage", "ascending"), ("reason", "ascending")]
        shown.append(
            Table(
                "Left out",
                ["stage", "reason", "documents"],
                [
                    [row["stage"], row["reason"], row["count_all"]]
                    for row in counted.sort_by(order).to_pylist()
                ],
            )
        )
    return shown
