"""What `tokenizer` shows of its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Table


def panels(artifact: Artifact) -> list[Panel]:
    """The vocabulary, the fertility a source and split, and the longest tokens."""
    facts, totals = artifact.facts, artifact.manifest.totals
    fertility = artifact.data("fertility").table()
    rows: list[list[Cell]] = [list(row.values()) for row in fertility.to_pylist()]
    return [
        Table(
            "Vocabulary",
            ["tokens", "tokens asked for", "documents learned from", "bytes learned from"],
            [
                [
                    facts["vocabulary_size"],
                    facts["vocabulary_size_asked"],
                    totals.kept,
                    facts["sampled_bytes"],
                ]
            ],
        ),
        *_cut_sentence(facts),
        Table("Fertility", fertility.column_names, rows, "Words are what white space separates."),
        Table("Longest tokens", ["token"], [[repr(token)] for token in facts["longest_tokens"]]),
    ]


def _cut_sentence(facts: Mapping[str, Any]) -> list[Panel]:
    """A sentence of the documents, and where it is cut; none of an artifact from before."""
    if not facts.get("sentence"):
        return []
    tokens = facts["sentence_tokens"]
    pieces = " | ".join(token.replace(" ", "·") for token in tokens)
    count = len(facts["sentence"].split())
    return [
        Table(
            "A sentence, cut into tokens",
            ["sentence", "tokens", "words", "cut"],
            [[facts["sentence"], len(tokens), count, pieces]],
            "Of the training documents. A dot stands for a space.",
        )
    ]
