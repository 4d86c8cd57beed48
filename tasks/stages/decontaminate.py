"""decontaminate: what evaluation sets ask is taken out of the documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.decontaminate.evidence import by_place, common_ngrams, is_evidence, sought_of
from llm.corpus.decontaminate.items import EvaluationFileError, read_items
from llm.corpus.decontaminate.occurrence import EDITED, WHOLE
from llm.corpus.decontaminate.search import TextIndex
from llm.corpus.decontaminate.sought import SHORTEST_EDITED, Criteria, sought_texts
from llm.corpus.decontaminate.spans import masked
from llm.corpus.decontaminate.tables import COMMON, FOUND, SOUGHT
from llm.process.guarded import LostDocument, guarded
from llm.rows import rows_among
from llm.tables import REJECTED, REMOVED, SPLIT_DOCUMENTS
from tasks.engine.config import Part, ShardedConfig, execution
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.stages.decontaminate_panels import panels

# Reasons and names of external inputs: the evaluation set's name comes after it.
_PREFIX = "evaluation:"
_DETAIL_CHARS = 300


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
    """The evaluation sets, how much of an item is too much, and what is done about it."""

    evaluation_sets: list[EvaluationSet] = Field(
        [], description="Sets to keep out of the training data; none = every document passes."
    )
    action: Literal["remove", "mask", "report"] = Field(
        "remove",
        description="Documents with items are removed, or kept with the items cut out, or kept as "
        "they are; what was found is recorded in any case.",
    )
    mask: str = Field("", description="With action mask: what stands in the place of an item.")
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
    min_share: float = Field(
        0.5,
        description="Share of a text's words that a document has in runs, one as long as an n-gram "
        "among them; less is a quotation. 0 = one n-gram is enough.",
        ge=0,
        le=1,
    )
    edited_share: float = Field(
        0.9,
        description="Share of a text's words that a document has close together, which is enough "
        "without an n-gram: items with words changed, or choices in another order. 1 = not "
        "looked for.",
        ge=0.7,
        le=1,
    )
    common_documents: int = Field(
        10,
        description="An n-gram that more documents than this have is boilerplate or a quotation "
        "and no evidence; texts found nearly whole are. 0 = all are evidence.",
        ge=0,
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


def search_part(unit: Unit) -> Iterator[Emitted]:
    """What of the evaluation sets stands in the documents of one part."""
    files = tuple(str(file) for file in unit.shared_files("sought"))
    texts = unit.tables(["doc_id", "text"])
    for found in guarded("llm.corpus.decontaminate.evidence:found_in", (files,), texts):
        if isinstance(found, LostDocument):
            yield from reject_lost(found)
        else:
            yield "candidates", found


def write_part(
    unit: Unit,
    action: str,
    mask: str,
    thresholds: Mapping[str, float],
    found: Sequence[Mapping[str, Any]],
    rejected: Sequence[str],
) -> Iterator[Emitted]:
    """The documents of one part less those with items, or less the items.

    Args:
        found: rows of `matches` that are of its documents.
        rejected: of its documents those that could not be searched.
    """
    matches: dict[str, list[Mapping[str, Any]]] = {}
    for row in found:
        matches.setdefault(row["doc_id"], []).append(row)
    for documents in unit.tables(SPLIT_DOCUMENTS.names):
        ids = documents.column("doc_id").to_pylist()
        searched = [doc_id not in rejected for doc_id in ids]
        hit = [doc_id for doc_id in ids if doc_id in matches]
        if action == "mask" and hit:
            documents, cut = _without_items(documents, matches, mask)
            yield Fact("masked_characters", cut)
            left = dict(zip(ids, documents.column("text").to_pylist(), strict=True))
            yield Fact("masked_documents", sum(bool(left[doc_id].strip()) for doc_id in hit))
            hit = [doc_id for doc_id in hit if not left[doc_id].strip()]
        if action == "report":
            hit = []
        gone = set(hit)
        kept = [one and doc_id not in gone for one, doc_id in zip(searched, ids, strict=True)]
        yield "documents", documents.filter(pa.array(kept, pa.bool_())).cast(SPLIT_DOCUMENTS)
        # Of several, the text that most words are of names the reason.
        worst = [max(matches[d], key=lambda row: row["share"] * row["words"]) for d in hit]
        removed = [
            hit,
            [f"{_PREFIX}{row['evaluation_set']}" for row in worst],
            [row["share"] for row in worst],
            [_threshold(row, thresholds) for row in worst],
            [f"{row['item']}: {row['found'][:_DETAIL_CHARS]}" for row in worst],
        ]
        yield "removed", pa.table(removed, schema=REMOVED)


def _threshold(row: Mapping[str, Any], thresholds: Mapping[str, float]) -> float:
    """The share from which a text is found by its rule; of a short one a word may be changed."""
    if row["rule"] == EDITED and row["words"] < SHORTEST_EDITED:
        return 1 - 1 / float(row["words"])
    return thresholds[row["rule"]]


def _without_items(
    documents: pa.Table, matches: Mapping[str, Sequence[Mapping[str, Any]]], mask: str
) -> tuple[pa.Table, int]:
    """Documents with the items in them replaced, and by how many characters the texts shrank."""
    texts, lengths = [], documents.column("text_chars").to_pylist()
    cut = 0
    for place, (doc_id, text) in enumerate(
        zip(
            documents.column("doc_id").to_pylist(),
            documents.column("text").to_pylist(),
            strict=True,
        )
    ):
        if doc_id in matches:
            spans = [(row["start"], row["end"]) for row in matches[doc_id]]
            shorter = masked(text, spans, mask)
            cut += len(text) - len(shorter)
            text, lengths[place] = shorter, len(shorter)
        texts.append(text)
    for name, values in (("text", texts), ("text_chars", lengths)):
        at = documents.schema.get_field_index(name)
        field = documents.schema.field(at)
        documents = documents.set_column(at, field, pa.array(values, field.type))
    return documents, cut


def run(config: DecontaminateConfig, inputs: Inputs, out: Out) -> None:
    """List what to look for, look for it in every part, then decide over all that was found.

    Raises:
        ExternalInputError: an evaluation file cannot be read.
    """
    criteria = Criteria(config.ngram, config.shortest_item, config.min_share, config.edited_share)
    out.fact("evaluation_sets", _write_sought(config, criteria, inputs, out))
    out.map(search_part, over="documents", shared=("sought",))
    _write_matches(config, out)
    found = _by_part(inputs["documents"], out.data("matches").table())
    lost = _by_part(inputs["documents"], out.data("rejected").table())
    if config.action == "mask":
        # The parts add up to these; no part, no sum.
        out.fact("masked_characters", 0)
        out.fact("masked_documents", 0)
    thresholds = {WHOLE: 1.0, EDITED: config.edited_share}
    out.map(
        write_part,
        over="documents",
        arguments={
            "action": config.action,
            "mask": config.mask,
            "thresholds": {"ngram": config.min_share, **thresholds},
            "found": [],
            "rejected": [],
        },
        # What is found in one part concerns no other.
        each={
            name: {
                "found": found.get(name, []),
                "rejected": [row["doc_id"] for row in lost.get(name, [])],
            }
            for name in found.keys() | lost.keys()
        },
    )


def _by_part(documents: Data, rows: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Rows by the part of the documents that they are about, as its shard is called."""
    of_document: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        of_document.setdefault(row["doc_id"], []).append(row)
    found: dict[str, list[dict[str, Any]]] = {}
    for part in documents.parts if of_document else ():
        ids = rows_among(documents.part_table(part, ["doc_id"]), of_document)
        own = [row for each in ids.column("doc_id").to_pylist() for row in of_document[each]]
        if own:
            found[part.path.removesuffix(".parquet")] = own
    return found


def _write_sought(
    config: DecontaminateConfig, criteria: Criteria, inputs: Inputs, out: Out
) -> dict[str, dict[str, Any]]:
    coverage = {}
    with out.table("sought") as writer:
        for chosen in config.evaluation_sets:
            items = (
                item
                for file in inputs.external[_PREFIX + chosen.name].items
                for item in read_items(Path(file.path), file.name, chosen.fields)
            )
            try:
                table, counts = sought_texts(chosen.name, items, criteria)
            except EvaluationFileError as error:
                raise ExternalInputError(f"evaluation set {chosen.name}: {error}") from error
            coverage[chosen.name] = asdict(counts)
            writer.write(table)
    return coverage


def _write_matches(config: DecontaminateConfig, out: Out) -> None:
    """Of all candidates those that are evidence once n-grams common in the corpus are left out."""
    candidates = out.data("candidates").table()
    rows = candidates.to_pylist()
    texts = by_place(TextIndex(out.data("sought").table()).texts if rows else [])
    common = COMMON.empty_table()
    if config.common_documents:
        common = common_ngrams(rows, texts, config.common_documents)
    dropped = frozenset(common.column("ngram").to_pylist())
    counts = [
        is_evidence(sought_of(row, texts), row["share"], row["ngrams"], dropped) for row in rows
    ]
    with out.table("common") as writer:
        writer.write(common)
    with out.table("matches") as writer:
        writer.write(candidates.filter(pa.array(counts, pa.bool_())))


STAGE = Stage(
    name="decontaminate",
    version=7,
    description="Takes what the recipe's evaluation sets ask out of the documents.",
    config=DecontaminateConfig,
    inputs={"documents": Input(("dedup.documents",), "Documents with their split.")},
    outputs={
        "documents": Output("Documents without items.", SPLIT_DOCUMENTS, unique_ids=True),
        "sought": Output("The texts looked for, and when one counts as found.", SOUGHT),
        "candidates": Output("Which text stands in which document, where and how much.", FOUND),
        "common": Output("N-grams in too many documents to be evidence.", COMMON),
        "matches": Output("The candidates that are evidence without these.", FOUND),
        "removed": Output("Documents with items.", REMOVED, unique_ids=True),
        "rejected": Output("Documents that could not be searched, and why.", REJECTED, True),
    },
    run=run,
    panels=panels,
    externals=externals,
    libraries=("numpy",),
    conservation=Conservation(
        "documents", kept="documents", removed="removed", rejected="rejected"
    ),
    code=("llm.corpus.decontaminate.evidence",),
)
