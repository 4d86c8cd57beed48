"""dedup: one of every text that is there more than once, and the split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from llm.corpus.dedup.tables import CLUSTERS, PAIRS, SIGNATURES
from llm.corpus.split import SPLIT_JACCARD, split_of
from llm.process.guarded import LostDocument, guarded
from llm.tables import REJECTED, REMOVED, SPLIT_DOCUMENTS, VALIDATION
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.dedup_decision import Decision, decide, decision
from tasks.stages.dedup_panels import panels


class DedupConfig(ShardedConfig):
    """What counts as a duplicate, which one is kept, and how much goes to validation."""

    threshold: float = Field(
        0.8,
        description="Jaccard index of the shingle sets from which a document is a near-duplicate.",
        ge=SPLIT_JACCARD,
        le=1.0,
    )
    keep: list[Literal["quality_score", "longest", "doc_id"]] = Field(
        ["quality_score", "longest", "doc_id"],
        description="Which duplicate is kept: the first criterion that tells two apart decides. "
        "quality_score is passed over when the recipe has no annotate stage.",
        min_length=1,
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


def split_part(unit: Unit, split_seed: int, validation_fraction: float) -> Iterator[Emitted]:
    """The kept documents of one part, with their split."""
    removed, groups = _decisions(
        tuple(unit.shared_files("clusters")), tuple(unit.shared_files("rejected"))
    )
    for documents in unit.tables([name for name in SPLIT_DOCUMENTS.names if name != "split"]):
        ids = documents.column("doc_id").to_pylist()
        kept = documents.filter(pa.array([doc_id not in removed for doc_id in ids], pa.bool_()))
        splits = [
            split_of(groups.get(doc_id, doc_id), split_seed, validation_fraction)
            for doc_id in kept.column("doc_id").to_pylist()
        ]
        kept = kept.append_column("split", pa.array(splits, pa.string()))
        yield "documents", kept.cast(SPLIT_DOCUMENTS)
        validation = kept.filter(pa.array([split == VALIDATION for split in splits], pa.bool_()))
        yield Fact("validation_documents", validation.num_rows)
        characters = validation.column("text_chars").to_pylist()
        yield Fact("validation_chars", sum(value or 0 for value in characters))


# A worker splits many parts with the same decisions.
@lru_cache(maxsize=1)
def _decisions(
    clusters: tuple[Path, ...], rejected: tuple[Path, ...]
) -> tuple[frozenset[str], Mapping[str, str]]:
    """doc_ids that are not kept, and the split group of every document that shares one."""
    removed: set[str] = set()
    for file in rejected:
        removed.update(pq.read_table(file, columns=["doc_id"]).column("doc_id").to_pylist())
    groups: dict[str, str] = {}
    for file in clusters:
        table = pq.read_table(file, columns=["doc_id", "kept", "split_group"])
        ids = table.column("doc_id").to_pylist()
        kept = table.column("kept").to_pylist()
        removed.update(doc_id for doc_id, is_kept in zip(ids, kept, strict=True) if not is_kept)
        groups.update(zip(ids, table.column("split_group").to_pylist(), strict=True))
    return frozenset(removed), groups


def run(config: DedupConfig, inputs: Inputs, out: Out) -> None:
    """Sign every document, decide over all of them, write the kept ones with their split."""
    out.map(
        sign_part,
        over="documents",
        arguments={"num_perm": config.num_perm, "shingle_words": config.shingle_words},
    )
    attributes = inputs.get("attributes")
    if attributes is None and "quality_score" in config.keep:
        out.log("no attributes in the recipe: the quality score has no part in the keep order")
    made = decision(config, out.data("signatures"), inputs["documents"], attributes, out.scratch)
    found = made.found
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
        },
        shared=("clusters", "rejected"),
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
    version=4,
    description="Removes exact and near duplicates, verified, and splits train from validation.",
    config=DedupConfig,
    inputs={
        "documents": Input(
            ("filter.documents", "sites.documents", "clean.documents"), "Documents to compare."
        ),
        "attributes": Input(
            ("annotate.attributes",), "Quality scores for the keep order.", optional=True
        ),
    },
    outputs={
        "documents": Output("Kept documents with their split.", SPLIT_DOCUMENTS, unique_ids=True),
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
