"""dedup: one of every text that is there more than once, and the split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

import pyarrow as pa
from pydantic import Field

from llm.corpus.dedup.tables import (
    CLUSTER_SIZE,
    CLUSTERS,
    CONTAINMENT,
    DECISIONS,
    PAIRS,
    SIGNATURES,
)
from llm.corpus.split import SPLIT_JACCARD, split_of
from llm.process.guarded import LostDocument, guarded
from llm.tables import REJECTED, REMOVED, SPLIT_DOCUMENTS, VALIDATION
from tasks.engine.config import ShardedConfig, added
from tasks.engine.declare import HELD, Conservation, Input, Output
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.part_files import read_part
from tasks.stages.dedup_decision import Decision, decide, decision
from tasks.stages.dedup_panels import panels

_GROUP = ("split_group", "doc_id")


class DedupConfig(ShardedConfig):
    """What counts as a duplicate, which one is kept, and how much goes to validation."""

    threshold: float = Field(
        0.8,
        description="Jaccard index of the shingle sets from which a document is a near-duplicate.",
        ge=SPLIT_JACCARD,
        le=1.0,
    )
    keep: list[Literal["quality_score", "first_seen", "longest", "doc_id"]] = Field(
        ["quality_score", "longest", "doc_id"],
        description="Which duplicate is kept: the first criterion that tells two apart decides. "
        "quality_score is passed over when the recipe has no annotate stage; first_seen, the one "
        "that was fetched first, when it has no source stage.",
        min_length=1,
    )
    containment: float = added(
        0.0,
        "Share of its shingles in a kept document from which one that has a Jaccard index of 0.5 "
        "or more with it is removed as contained in it; 0 = never.",
        ge=0.0,
        le=1.0,
    )
    cluster_sizes: bool = added(
        False,
        "Give documents a column cluster_size: how many there were of each, removed ones counted, "
        "to repeat by.",
    )
    shingle_words: int = Field(5, description="Words per shingle.", ge=1, le=50)
    num_perm: int = Field(
        128,
        description="Values per MinHash signature; 4 bytes each for every document.",
        ge=16,
        le=1024,
    )
    recall: float = Field(
        0.985,
        description="Predicted share of pairs found, mean over [threshold, 1]; decides the bands.",
        gt=0.5,
        lt=1.0,
    )
    split_recall: float = Field(
        0.95,
        description="The same over [0.5, 1], for pairs that must not straddle the split.",
        gt=0.5,
        lt=1.0,
    )
    bucket_cap: int = Field(
        64,
        description="Buckets of more documents are compared with their kept members only: "
        "fewer pairs as evidence, the same documents kept.",
        ge=2,
        le=4096,
    )
    validation_fraction: float = Field(
        0.02,
        description="Share of groups of near-duplicates that go to validation.",
        ge=0.0,
        le=0.5,
    )
    split_seed: int = Field(
        0, description="Another seed picks other documents for validation.", ge=0
    )

    @property
    def reads_dates(self) -> bool:
        """Whether the keep order goes by when pages were fetched."""
        return "first_seen" in self.keep


def sign_part(unit: Unit, num_perm: int, shingle_words: int) -> Iterator[Emitted]:
    """Signatures of one part of documents."""
    documents = unit.tables(["doc_id", "text"])
    for signatures in guarded(
        "llm.corpus.dedup.signatures:sign", (num_perm, shingle_words), documents
    ):
        if isinstance(signatures, LostDocument):
            yield from reject_lost(signatures)
        else:
            yield "signatures", signatures


def split_part(
    unit: Unit, split_seed: int, validation_fraction: float, cluster_sizes: bool
) -> Iterator[Emitted]:
    """The kept documents of one part, with their split."""
    decisions = read_part(unit.aligned_file("decisions"))
    schema = SPLIT_DOCUMENTS.append(CLUSTER_SIZE) if cluster_sizes else SPLIT_DOCUMENTS
    read = 0
    for documents in unit.tables([name for name in SPLIT_DOCUMENTS.names if name != "split"]):
        decided = decisions.slice(read, documents.num_rows)
        read += documents.num_rows
        kept = documents.filter(decided.column("kept"))
        decided = decided.filter(decided.column("kept"))
        groups = zip(*(decided.column(name).to_pylist() for name in _GROUP), strict=True)
        splits = [
            split_of(group or doc_id, split_seed, validation_fraction) for group, doc_id in groups
        ]
        kept = kept.append_column("split", pa.array(splits, pa.string()))
        if cluster_sizes:
            kept = kept.append_column(CLUSTER_SIZE.name, decided.column(CLUSTER_SIZE.name))
        yield "documents", kept.cast(schema)
        validation = kept.filter(pa.array([split == VALIDATION for split in splits], pa.bool_()))
        yield Fact("validation_documents", validation.num_rows)
        characters = validation.column("text_chars").to_pylist()
        yield Fact("validation_chars", sum(value or 0 for value in characters))


def run(config: DedupConfig, inputs: Inputs, out: Out) -> None:
    """Sign every document, decide over all of them, write the kept ones with their split."""
    out.map(
        sign_part,
        over="documents",
        arguments={"num_perm": config.num_perm, "shingle_words": config.shingle_words},
    )
    for criterion, missing in (("quality_score", "attributes"), ("first_seen", "pages")):
        if criterion in config.keep and missing not in inputs:
            out.log(f"no {missing} in the recipe: {criterion} has no part in the keep order")
    memory = out.lasting_folder("dedup")
    made = decision(config, out.data("signatures"), inputs, out.scratch, memory)
    found = made.found
    if config.containment:
        out.extend("pairs", [CONTAINMENT])
    if config.cluster_sizes:
        out.extend("decisions", [CLUSTER_SIZE])
        out.extend("documents", [CLUSTER_SIZE])
    documents = inputs["documents"]
    for part, ids in zip(documents.parts, documents.tables(["doc_id"]), strict=True):
        with out.table("decisions", part.path.removesuffix(".parquet")) as writer:
            writer.write(found.fates.decisions(ids.column("doc_id"), config.cluster_sizes))
    for name, table in (
        ("clusters", found.clusters),
        ("pairs", found.pairs),
        ("removed", found.removed),
    ):
        with out.table(name) as writer:
            writer.write(table)
    # The parts add up to these; no part, no sum.
    out.fact("validation_documents", 0)
    out.fact("validation_chars", 0)
    out.map(
        split_part,
        over="documents",
        arguments={
            "split_seed": config.split_seed,
            "validation_fraction": config.validation_fraction,
            "cluster_sizes": config.cluster_sizes,
        },
        aligned=("decisions",),
    )
    _record(out, made, config.threshold)
    out.fact("search", asdict(found.counts))
    groups = found.clusters.column("split_group").value_counts().field("counts").to_pylist()
    out.fact("largest_split_group", max(groups, default=1))


def _record(out: Out, made: Decision, threshold: float) -> None:
    out.fact("keep_order", made.keep)
    for name, banding, level in (
        ("banding", made.removal, threshold),
        ("split_banding", made.split, SPLIT_JACCARD),
    ):
        figures = {
            "bands": banding.bands,
            "rows": banding.rows,
            "from_jaccard": level,
            "recall": banding.recall(level),
            "recall_at_threshold": banding.probability(level),
        }
        out.fact(name, figures)
    counts = made.found.pairs.column("rule").value_counts().to_pylist()
    out.fact("pairs", {row["values"]: row["counts"] for row in counts})


STAGE = Stage(
    name="dedup",
    version=5,
    description="Removes exact and near duplicates, verified, and splits train from validation.",
    config=DedupConfig,
    inputs={
        "documents": Input(
            ("filter.documents", "sites.documents", "clean.documents"), "Documents to compare."
        ),
        "attributes": Input(
            ("annotate.attributes",), "Quality scores for the keep order.", optional=True
        ),
        "pages": Input(
            ("source.pages",),
            "When each was fetched, for the keep order.",
            optional=True,
            asked="reads_dates",
        ),
        HELD: Input((), "What it decided last time.", optional=True, held="decisions"),
    },
    outputs={
        "documents": Output("Kept documents with their split.", SPLIT_DOCUMENTS, unique_ids=True),
        "decisions": Output(
            "What became of each document, cut as the documents.", DECISIONS, unique_ids=True
        ),
        "clusters": Output(
            "Documents that have a near-duplicate, with their cluster.", CLUSTERS, unique_ids=True
        ),
        "pairs": Output("Verified pairs from Jaccard 0.5 on.", PAIRS),
        "removed": Output("Duplicates, each with the document kept instead.", REMOVED, True),
        "rejected": Output("Documents without a signature, and why.", REJECTED, True),
        "signatures": Output("MinHash signatures and text digests.", SIGNATURES, unique_ids=True),
    },
    run=run,
    panels=panels,
    decides=decide,
    libraries=("datasketch", "xxhash", "numpy", "scipy"),
    conservation=Conservation(
        "documents", kept="documents", removed="removed", rejected="rejected"
    ),
    code=("llm.corpus.dedup.signatures",),
)
