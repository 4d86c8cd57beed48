"""decontaminate: documents that overlap with evaluation sets are removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.decontaminate.items import EvaluationFileError, read_items
from llm.corpus.decontaminate.ngrams import item_ngrams
from llm.corpus.decontaminate.tables import MATCHES, NGRAMS
from llm.process.guarded import LostDocument, guarded
from llm.tables import REJECTED, REMOVED, SPLIT_DOCUMENTS
from tasks.engine.config import Part, ShardedConfig, execution
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table

# Reasons and names of external inputs: the evaluation set's name comes after it.
_PREFIX = "evaluation:"
_MATCHES_SHOWN = 50
_SAMPLES_SHOWN = 10


class EvaluationSet(Part):
    """Files of questions that no training document may contain."""

    name: str = Field(
        description="Name of the set, for reasons and tables.", pattern=r"^[A-Za-z0-9._-]{1,64}$"
    )
    paths: list[str] = execution(
        ..., "Files, folders or globs: JSONL, JSON, CSV, TSV or text; .gz, .zst.", min_length=1
    )
    fields: list[str] = Field(
        [],
        description="Fields to search, with dots for nested ones (choices.text); empty = every "
        "string.",
    )


class DecontaminateConfig(ShardedConfig):
    """The evaluation sets and how much overlap is too much."""

    evaluation_sets: list[EvaluationSet] = Field(
        [], description="Sets to keep out of the training data; none = every document passes."
    )
    ngram: int = Field(
        13, description="Consecutive words that a document may not share with an item.", ge=5, le=50
    )
    shortest_item: int = Field(
        8,
        description="Texts shorter than an n-gram are looked for as a whole if they have this many "
        "words.",
        ge=3,
        le=50,
    )

    @model_validator(mode="after")
    def _consistent(self) -> DecontaminateConfig:
        names = [chosen.name for chosen in self.evaluation_sets]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"evaluation_sets: {', '.join(repeated)} occurs more than once")
        if self.shortest_item > self.ngram:
            raise ValueError("shortest_item may not exceed ngram: such texts have an n-gram")
        return self


def externals(config: DecontaminateConfig) -> Mapping[str, Snapshot]:
    """The files of each evaluation set."""
    return {
        _PREFIX + chosen.name: snapshot_files(
            chosen.paths, f"decontaminate.evaluation_sets[{chosen.name}].paths"
        )
        for chosen in config.evaluation_sets
    }


def decontaminate_part(unit: Unit) -> Iterator[Emitted]:
    """Documents of one part without overlap, and the evidence against the others."""
    files = tuple(str(file) for file in unit.shared_files("ngrams"))
    for documents in unit.tables(SPLIT_DOCUMENTS.names):
        texts = documents.select(["doc_id", "text"])
        lost, hits = set(), dict[str, list[dict[str, Any]]]()
        for found in guarded("llm.corpus.decontaminate.ngrams:matches_in", (files,), [texts]):
            if isinstance(found, LostDocument):
                lost.add(found.doc_id)
                yield from reject_lost(found)
                continue
            yield "matches", found
            for row in found.to_pylist():
                hits.setdefault(row["doc_id"], []).append(row)
        ids = documents.column("doc_id").to_pylist()
        kept = pa.array([doc_id not in hits and doc_id not in lost for doc_id in ids], pa.bool_())
        yield "documents", documents.filter(kept).cast(SPLIT_DOCUMENTS)
        # Of several, the item most of the document belongs to names the reason.
        worst = [
            max(hits[doc_id], key=lambda row: row["count"]) for doc_id in ids if doc_id in hits
        ]
        removed = [
            [row["doc_id"] for row in worst],
            [f"{_PREFIX}{row['evaluation_set']}" for row in worst],
            [float(row["count"]) for row in worst],
            [1.0] * len(worst),
            [f"{row['item']}: {row['ngram']}" for row in worst],
        ]
        yield "removed", pa.table(removed, schema=REMOVED)


def run(config: DecontaminateConfig, inputs: Inputs, out: Out) -> None:
    """List what to look for, then look for it in every part.

    Raises:
        ExternalInputError: an evaluation file cannot be read.
    """
    coverage = {}
    with out.table("ngrams") as writer:
        for chosen in config.evaluation_sets:
            items = (
                item
                for file in inputs.external[_PREFIX + chosen.name].items
                for item in read_items(Path(file.path), file.name, chosen.fields)
            )
            try:
                table, counts = item_ngrams(chosen.name, items, config.ngram, config.shortest_item)
            except EvaluationFileError as error:
                raise ExternalInputError(f"evaluation set {chosen.name}: {error}") from error
            coverage[chosen.name] = asdict(counts)
            writer.write(table)
    out.fact("evaluation_sets", coverage)
    out.map(decontaminate_part, over="documents", shared=("ngrams",))


def panels(artifact: Artifact) -> list[Panel]:
    """Overlap by evaluation set, the heaviest matches, and n-grams to read."""
    matches = artifact.data("matches").table().to_pylist()
    removed = artifact.manifest.totals.removed
    rows: list[list[Cell]] = []
    for name, counts in artifact.facts["evaluation_sets"].items():
        own = [row for row in matches if row["evaluation_set"] == name]
        rows.append(
            [
                name,
                counts["items"],
                counts["too_short"],
                counts["ngrams"],
                len({row["item"] for row in own}),
                len({row["doc_id"] for row in own}),
                removed.get(_PREFIX + name, 0),
            ]
        )
    columns = [
        "evaluation set",
        "items",
        "too short to look for",
        "n-grams",
        "items found",
        "documents",
        "removed for it",
    ]
    note = (
        "An n-gram that several items of a set share counts for the first. A document that "
        "overlaps with several sets is removed for the item it shares most with."
    )
    if not rows:
        note = "No evaluation sets in the recipe: every document passed."
    matches.sort(key=lambda row: (-row["count"], row["doc_id"], row["evaluation_set"], row["item"]))
    shown: list[Panel] = [Table("Overlap with evaluation sets", columns, rows, note)]
    if matches:
        shown.append(
            Table(
                "Largest overlaps",
                ["document", "evaluation set", "item", "n-grams shared"],
                [
                    [row["doc_id"], row["evaluation_set"], row["item"], row["count"]]
                    for row in matches[:_MATCHES_SHOWN]
                ],
            )
        )
        samples = [
            Sample(row["item"], row["ngram"], {"doc_id": row["doc_id"], "shared": row["count"]})
            for row in matches[:_SAMPLES_SHOWN]
        ]
        shown.append(Samples("What was shared", samples, "The first n-gram of each overlap."))
    return shown


STAGE = Stage(
    name="decontaminate",
    version=5,
    description="Removes documents that share word n-grams with the recipe's evaluation sets.",
    config=DecontaminateConfig,
    inputs={"documents": Input(("dedup.documents",), "Documents with their split.")},
    outputs={
        "documents": Output("Documents without overlap.", SPLIT_DOCUMENTS, unique_ids=True),
        "matches": Output("Which document overlaps with which evaluation item.", MATCHES),
        "removed": Output("Documents with overlap.", REMOVED, unique_ids=True),
        "rejected": Output("Documents that could not be searched, and why.", REJECTED, True),
        "ngrams": Output("The n-grams looked for, with the item they are from.", NGRAMS),
    },
    run=run,
    panels=panels,
    externals=externals,
    libraries=("xxhash",),
    conservation=Conservation(
        "documents", kept="documents", removed="removed", rejected="rejected"
    ),
    code=("llm.corpus.decontaminate.ngrams",),
)
