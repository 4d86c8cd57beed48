"""What `examples` shows: how many from where, what was left out, and some to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from llm.alignment.examples.candidates import KEPT_IN
from llm.rows import rows_among
from llm.tables import SPLITS
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table

_SAMPLES_SHOWN = 8


def panels(artifact: Artifact) -> list[Panel]:
    """How many examples from where, why others were left out, and some to read."""
    candidates = artifact.facts["candidates"]
    kept: Counter[tuple[str, str, str]] = Counter()
    dropped: Counter[tuple[str, str, str]] = Counter()
    for row in candidates:
        if row["result"] == "kept":
            kept[row["kind"], row["source"], row["split"]] += row["rows"]
        else:
            dropped[row["kind"], row["result"], row["reason"]] += row["rows"]
    unread = [[row["file"], row["field"], row["rows"]] for row in artifact.facts["unread_fields"]]
    groups = sorted({(kind, source) for kind, source, _ in kept})
    shown: list[Panel] = [
        Table(
            "Examples",
            ["kind", "source", "train", "validation"],
            [
                [kind, source, kept[kind, source, "train"], kept[kind, source, "validation"]]
                for kind, source in groups
            ],
            "Those of documents have their document's split, those of files a split by prompt.",
        ),
        Table(
            "Left out",
            ["kind", "result", "reason", "candidates"],
            [[*key, count] for key, count in sorted(dropped.items())],
        ),
    ]
    if unread:
        note = "Fields of usable rows that were not used."
        shown.append(Table("Fields not used", ["file", "field", "rows"], unread, note))
    # An artifact of an earlier version has no thumbs.
    kept_in = [name for name in KEPT_IN.values() if name in artifact.manifest.outputs]
    thumbs = []
    if "thumbs" in kept_in:
        thumbs = artifact.data("thumbs").table(["split", "desirable"]).to_pylist()
    if thumbs:
        rows = Counter((row["split"], row["desirable"]) for row in thumbs)
        lines: list[list[Cell]] = [
            [split, rows[split, True], rows[split, False]] for split in SPLITS
        ]
        shown.append(Table("Thumbs up and down", ["split", "up", "down"], lines))
    for name in kept_in:
        # The smallest ids: hashes, and so a sample of all sources.
        ids = sorted(artifact.data(name).table(["doc_id"]).column("doc_id").to_pylist())
        wanted = set(ids[:_SAMPLES_SHOWN])
        chosen = [
            row
            for table in artifact.data(name).tables()
            for row in rows_among(table, wanted).to_pylist()
        ]
        if chosen:
            shown.append(Samples(name.title(), [_sample(row) for row in chosen]))
    return shown


def _sample(row: Mapping[str, Any]) -> Sample:
    blocks = []
    for name in ("messages", "prompt", "chosen", "rejected", "answer"):
        for message in row.get(name, ()):
            label = message["role"] if name in ("messages", "prompt") else name
            if label == "assistant" and not message.get("supervised", True):
                label = "assistant (not learned)"
            blocks.append(f"{label}: {message['content']}")
    facts = {"source": row["source"], "split": row["split"]}
    if "desirable" in row:
        facts["thumb"] = "up" if row["desirable"] else "down"
    if row["parent_doc_ids"]:  # rows of files have none
        facts["parents"] = ", ".join(row["parent_doc_ids"])
    return Sample(row["doc_id"], "\n\n".join(blocks), facts)
