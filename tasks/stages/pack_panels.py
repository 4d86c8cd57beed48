"""What `pack` shows of its rows."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Histogram, Panel, Table


def panels(artifact: Artifact) -> list[Panel]:
    """Tokens and padding a split, tokens a source, and how long documents are."""
    splits, sources = artifact.facts["splits"], artifact.facts["sources"]
    rows = []
    for name, split in splits.items():
        room = split["tokens"] + split["padding"]
        share = split["padding"] / room if room else 0.0
        rows.append(
            [
                name,
                split["documents"],
                split["bytes"],
                split["tokens"],
                split["rows"],
                split["padding"],
                share,
            ]
        )
    columns = ["split", "documents", "bytes", "tokens", "rows", "padding", "padding share"]
    shown: list[Panel] = [Table("Sequences", columns, rows, "Tokens as used; bytes of text once.")]
    if sources:
        names = list(sources[0])
        shown.append(
            Table("Tokens by source", names, [[row[name] for name in names] for row in sources])
        )
    for name, split in splits.items():
        if split["documents"]:
            shown.append(
                Histogram(
                    f"Document length, {name}",
                    "tokens",
                    split["document_length_edges"],
                    {"documents": split["document_length_counts"]},
                    "Bins double.",
                )
            )
    return shown
