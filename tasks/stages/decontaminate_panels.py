"""What `decontaminate` shows: by evaluation set, and what was found beside what was looked for."""

from __future__ import annotations

from typing import Any

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table

_MATCHES_SHOWN = 50
_SAMPLES_SHOWN = 10
_COMMON_SHOWN = 20


def panels(artifact: Artifact) -> list[Panel]:
    """What was found of each evaluation set, where, and the n-grams that were no evidence."""
    matches = artifact.data("matches").table().to_pylist()
    # Most of an item first.
    matches.sort(key=lambda row: (-row["share"] * row["words"], row["doc_id"], row["start"]))
    shown: list[Panel] = [_by_set(artifact, matches)]
    if matches:
        columns = ["document", "evaluation set", "item", "rule", "share of the text", "its words"]
        names = ("doc_id", "evaluation_set", "item", "rule", "share", "words")
        rows: list[list[Cell]] = [[row[n] for n in names] for row in matches[:_MATCHES_SHOWN]]
        shown += [Table("Items found in documents", columns, rows), _to_judge(artifact, matches)]
    common = artifact.data("common").table().to_pylist()
    if common:
        shown.append(
            Table(
                "N-grams that are no evidence",
                ["n-gram", "documents"],
                [[row["ngram"], row["documents"]] for row in common[:_COMMON_SHOWN]],
                f"{len(common)} in all: more than common_documents have them.",
            )
        )
    return shown


def _by_set(artifact: Artifact, matches: list[dict[str, Any]]) -> Table:
    candidates = artifact.data("candidates").table(["evaluation_set"]).to_pylist()
    removed = artifact.manifest.totals.removed
    rows: list[list[Cell]] = []
    for name, counts in artifact.facts["evaluation_sets"].items():
        own = [row for row in matches if row["evaluation_set"] == name]
        places = sum(row["evaluation_set"] == name for row in candidates)
        rows.append(
            [
                name,
                counts["items"],
                counts["too_short"],
                counts["texts"],
                len({row["item"] for row in own}),
                len({row["doc_id"] for row in own}),
                removed.get(f"evaluation:{name}", 0),
                places - len(own),
            ]
        )
    columns = [
        "evaluation set",
        "items",
        "too short to look for",
        "texts",
        "items found",
        "documents",
        "removed for it",
        "places that are common",
    ]
    note = (
        "A text that several items of a set share counts for the first. A document with several "
        "is removed for the one that most of its words are of."
    )
    if not rows:
        note = "No evaluation sets in the recipe: every document passed."
    elif artifact.manifest.config["action"] == "mask":
        facts = artifact.facts
        note += (
            f" Cut out of {facts['masked_documents']} documents: {facts['masked_characters']} "
            "characters."
        )
    return Table("Overlap with evaluation sets", columns, rows, note)


def _to_judge(artifact: Artifact, matches: list[dict[str, Any]]) -> Samples:
    sought = {
        (row["evaluation_set"], row["item"], row["place"]): row["text"]
        for row in artifact.data("sought").table().to_pylist()
    }
    samples = [
        Sample(
            f"{row['evaluation_set']}, {row['item']}",
            f"looked for: {sought[row['evaluation_set'], row['item'], row['place']]}\n\n"
            f"found: {row['found']}",
            {
                "doc_id": row["doc_id"],
                "rule": row["rule"],
                "share": row["share"],
                "characters": f"{row['start']} to {row['end']}",
            },
        )
        for row in matches[:_SAMPLES_SHOWN]
    ]
    return Samples("Is it the same?", samples, "The text of the item, its words, and the document.")
