"""pack: documents as rows of tokens of one length, every token exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from llm.process.guarded import LostDocument, guarded
from llm.rows import bytes_of, is_equal, rows_with
from llm.tables import DOC_ID, REJECTED, REMOVED, SPLITS, TRAIN
from llm.tokens import sequences
from llm.tokens.encoding import encoder
from llm.tokens.hf_folder import load_tokenizer, special_id
from llm.tokens.mixture import UnknownSourceError, check_sources
from llm.tokens.partitions import PARTITIONS, divided, listed
from llm.tokens.sequences import SEQUENCES, SOURCE
from llm.tokens.slices import MIXED_AS, NoBucketsError, mixed_as
from llm.tokens.special_tokens import PAD
from tasks.engine.config import Part, ShardedConfig, added
from tasks.engine.declare import HELD, Input, Output, Requirement
from tasks.engine.errors import ConservationError, IngotError
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.stages.pack_panels import panels
from tasks.stages.pack_rows import by_mixture, pack_part, uses_of
from tasks.stages.pack_slices import (
    QualitySlice,
    check_slices,
    scored_for_slices,
    slices_of_sources,
)

TOKENS = pa.schema(
    [
        DOC_ID,
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
    ]
)
# A partition's rows are numbered from this many times its own number on.
_IDS_A_PARTITION = 10**12


class UnpackableError(IngotError):
    """The documents and the config do not go together; names the field."""


class Weight(Part):
    """How often the documents of a source are seen."""

    source: str = Field(description="Name of a source, or of a slice of one.", min_length=1)
    epochs: float = Field(
        description="Times each document is used; 0.3 uses 30 % of them, 0 none.", ge=0, le=1_000
    )


class PackConfig(ShardedConfig):
    """How rows are made."""

    sequence_length: int = Field(
        1_024,
        description="Tokens of context; a row holds one more, so that each has a target.",
        ge=8,
        le=1_048_576,
    )
    strategy: Literal["best_fit", "concatenate"] = Field(
        "best_fit",
        description="best_fit cuts only documents longer than a row and pads; "
        "concatenate cuts wherever a row is full.",
    )
    weights: list[Weight] = Field([], description="Mixture; sources not named are used once.")
    seed: int = Field(
        0, description="Random seed of the order of rows and of the mixture.", ge=0, le=2**31 - 1
    )

    by_source: bool = added(
        False,
        "Whether train rows are of one source each, which a column tells: for pretrain.mixture.",
    )
    slices: list[QualitySlice] = added(
        [],
        "Documents of a source between two percentiles of quality, each as a source of its own for "
        "weights and pretrain.mixture; what is in none stays with the source.",
    )

    @property
    def slice_names(self) -> list[str]:
        """What may be named like a source, beside the sources."""
        return [each.name for each in self.slices]

    @model_validator(mode="after")
    def _each_source_once(self) -> PackConfig:
        check_slices(self.slices)
        names = [weight.source for weight in self.weights]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"weights: more than one for {', '.join(repeated)}; keep one each")
        return self


def _sources_exist(config: PackConfig, sources: Sequence[str]) -> Iterator[str]:
    for place, weight in enumerate(config.weights):
        if weight.source not in (*sources, *config.slice_names):
            yield (
                f"pack.weights.{place}.source: {weight.source!r} is none of source.sources, "
                f"which are {', '.join(sources)}"
            )


def tokenise_part(unit: Unit) -> Iterator[Emitted]:
    """The tokens of one part of documents, each ended by the end of text."""
    folder = str(unit.shared["tokenizer"])
    for table in unit.tables(["doc_id", "split", "source", "text"]):
        size = bytes_of(table.column("text")).cast(pa.int64())
        some = size.to_numpy() > 0
        empty = table.column("doc_id").filter(pa.array(~some))
        reasons = pa.array(["no_text"] * len(empty), pa.string())
        details = pa.array(["null or empty"] * len(empty), pa.string())
        yield "rejected", pa.table([empty, reasons, details], schema=REJECTED)
        table = table.append_column("bytes", size).filter(pa.array(some))
        texts = table.select(["doc_id", "text"])
        lost: list[str] = []
        tokens: list[pa.ListArray] = []
        for found in guarded("llm.tokens.encoding:tokens_of", (folder,), [texts]):
            if isinstance(found, LostDocument):
                lost.append(found.doc_id)
                yield from reject_lost(found)
            else:
                tokens.append(found)
                yield Fact("tokens", len(found.values))
        if lost:
            ids = table.column("doc_id").to_pylist()
            table = table.filter(pa.array([doc_id not in lost for doc_id in ids], pa.bool_()))
        columns = [table.column(name) for name in TOKENS.names[:-1]]
        column = pa.chunked_array(tokens, TOKENS.field("tokens").type)
        yield "tokens", pa.table([*columns, column], schema=TOKENS)


def run(config: PackConfig, inputs: Inputs, out: Out) -> None:
    """Tokenise part by part, divide the documents into partitions, write the rows of each.

    Raises:
        UnpackableError: a weight names an unknown source, a document is of an unknown split, or
            nothing is left to train on.
        ConservationError: a document is neither tokenised nor rejected.
    """
    used = encoder(str(inputs["tokenizer"].folder()))
    out.fact("encoder", used.by)
    if used.refused:
        out.log(f"encoding with {used.by}, which is slow: {used.refused}; the ids are the same")
    out.map(tokenise_part, over="documents", shared=("tokenizer",))
    came, made = inputs["documents"].rows, out.data("tokens").rows
    lost = out.data("rejected").rows
    if came != made + lost:
        raise ConservationError(f"pack: {came} documents in, {made} tokenised + {lost} rejected")
    if not made:
        raise UnpackableError(f"pack: none of {came} documents has a text to train on")
    documents = _listed(config, inputs.get("attributes"), out)
    epochs = {weight.source: weight.epochs for weight in config.weights}
    numbers = _write_partitions(config, documents, inputs.get(HELD), out)
    documents = by_mixture(documents, documents)
    _check(documents, list(epochs))
    if config.by_source:
        out.extend("sequences", [SOURCE])
    out.map(
        pack_part,
        over="partitions",
        arguments={
            "pad": special_id(load_tokenizer(inputs["tokenizer"].folder()), PAD),
            "sequence_length": config.sequence_length,
            "strategy": config.strategy,
            "seed": config.seed,
            "epochs": epochs,
            "by_source": config.by_source,
        },
        each={name: {"first": number * _IDS_A_PARTITION} for name, number in numbers.items()},
        vouched=("tokens",),
        whole=True,
    )
    _account(config, documents, uses_of(documents, epochs, config.seed), out)


def _listed(config: PackConfig, attributes: Data | None, out: Out) -> pa.Table:
    """The documents as rows of `PARTITIONS`; with slices, what each is mixed as behind them.

    Raises:
        UnpackableError: there are slices, and nothing says which documents are in them.
    """
    documents = listed(out.data("tokens").tables())
    if not config.slices:
        return documents
    out.extend("partitions", [MIXED_AS])
    annotated = attributes.tables(["doc_id", "quality_bucket"]) if attributes else ()
    try:
        column = mixed_as(documents, annotated, [each.plain() for each in config.slices])
    except NoBucketsError as error:
        raise UnpackableError(f"pack.slices: {error}") from error
    return documents.append_column(MIXED_AS, column)


def _check(documents: pa.Table, weighted: Sequence[str]) -> None:
    """Raises UnpackableError for a split or a weight that does not fit."""
    found = documents.column("split").unique().to_pylist()
    unknown = sorted(set(found) - set(SPLITS))
    if unknown:
        raise UnpackableError(f"pack: split {unknown[0]!r} is none of {', '.join(SPLITS)}")
    sources = {source or "" for source in documents.column("source").unique().to_pylist()}
    try:
        check_sources(weighted, sorted(sources))
    except UnknownSourceError as error:
        raise UnpackableError(f"pack.weights: {error}") from error


def _write_partitions(
    config: PackConfig, documents: pa.Table, held: Data | None, out: Out
) -> dict[str, int]:
    """Write which documents are packed together; number of each partition by the name of its part.

    Rows of a source lie together in all of the sequences, so by source there is one partition.
    """
    known: dict[int, list[pa.Table]] = {}
    if held is not None and not config.by_source:
        for part in held.parts:
            number = int(part.path.removesuffix(".parquet").partition("~")[0].rpartition("-")[2])
            known.setdefault(number, []).append(held.part_table(part, ["doc_id"]))
    before = [(number, pa.concat_tables(tables)) for number, tables in known.items()]
    names = {}
    for number, rows in divided(documents, before).items():
        name = f"part-{number:05d}"
        names[name] = number
        with out.table("partitions", name) as partition:
            partition.write(rows)
    return names


def _account(config: PackConfig, documents: pa.Table, uses: NDArray[np.int64], out: Out) -> None:
    """Count what is in the rows, and state where every token went."""
    rows, tokens, rows_of = _written(config, out)
    facts: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        own = documents.filter(is_equal(documents.column("split"), split))
        edges, counts = sequences.length_histogram(own.column("length").to_numpy())
        facts[split] = {
            "documents": own.num_rows,
            "bytes": int(own.column("bytes").to_numpy().sum()),
            "rows": rows[split],
            "tokens": tokens[split],
            "padding": rows[split] * (config.sequence_length + 1) - tokens[split],
            "document_length_edges": edges,
            "document_length_counts": counts,
        }
    if not facts[TRAIN]["rows"]:
        raise UnpackableError(
            "pack: no token is left to train on; look at the train split of the documents and at "
            "pack.weights"
        )
    out.fact("splits", facts)
    out.fact("sources", _sources(documents, uses, rows_of))
    length = documents.column("length").to_numpy()
    tokens_in = int((length * np.maximum(uses, 1)).sum())  # what is not used counts as removed
    unused = int(length[uses == 0].sum())
    removed = {"mixture": unused} if unused else {}
    out.conserve(tokens_in, tokens.total(), removed=removed, unit="token")


def _written(config: PackConfig, out: Out) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """What the rows themselves say: rows and tokens of each split, train rows of each source."""
    rows, tokens, rows_of = Counter[str](), Counter[str](), Counter[str]()
    columns = ["split", "doc_lengths", *([SOURCE.name] if config.by_source else [])]
    for table in out.data("sequences").tables(columns):
        for split in SPLITS:
            own = rows_with(table, "split", split)
            rows[split] += own.num_rows
            lengths = own.column("doc_lengths").combine_chunks().flatten()
            tokens[split] += int(lengths.to_numpy().sum())
            if config.by_source and split == TRAIN:
                rows_of.update(own.column(SOURCE.name).to_pylist())
    return rows, tokens, rows_of


def _sources(
    index: pa.Table, uses: NDArray[np.int64], rows_of: Mapping[str, int]
) -> list[dict[str, str | int | None]]:
    """For the manifest: documents, bytes, tokens and tokens used of each source and split, and
    its rows, where they are its own."""
    length = index.column("length").to_numpy()
    counted = index.append_column("used", pa.array(length * uses))
    grouped = counted.group_by(["source", "split"]).aggregate(
        [("doc_id", "count"), ("bytes", "sum"), ("length", "sum"), ("used", "sum")]
    )
    rows = grouped.sort_by([("source", "ascending"), ("split", "ascending")]).to_pylist()
    return [
        {
            "source": row["source"] or "",
            "split": row["split"],
            "documents": row["doc_id_count"],
            "bytes": row["bytes_sum"],
            "tokens": row["length_sum"],
            "tokens_used": row["used_sum"],
        }
        | ({"rows": _own(row, rows_of)} if rows_of else {})
        for row in rows
    ]


def _own(row: Mapping[str, Any], rows_of: Mapping[str, int]) -> int | None:
    return rows_of.get(row["source"] or "") if row["split"] == TRAIN else None


STAGE = Stage(
    name="pack",
    version=1,
    description="Documents as rows of tokens of one length, every token exactly once.",
    config=PackConfig,
    inputs={
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"), "Documents with their split."
        ),
        "tokenizer": Input(("tokenizer.tokenizer",), "The tokenizer."),
        "attributes": Input(
            ("annotate.attributes",), "Quality of documents.", optional=True, asked="slices"
        ),
        HELD: Input((), "Which documents it packed together last time.", True, held="partitions"),
    },
    outputs={
        "sequences": Output("Rows of tokens with the documents they come from.", SEQUENCES),
        "tokens": Output("The tokens of each document.", TOKENS, unique_ids=True),
        "partitions": Output("Documents that are packed together, to be held.", PARTITIONS, True),
        "removed": Output("Documents the mixture does not use.", REMOVED, unique_ids=True),
        "rejected": Output("Documents without a text or not tokenised.", REJECTED, True),
    },
    run=run,
    panels=panels,
    requires=(
        Requirement(("source.names",), _sources_exist),
        Requirement(("source.names",), slices_of_sources),
        Requirement(("annotate.pool?", "quality.pool?"), scored_for_slices),
    ),
    libraries=("tokenizers", "numpy", "pyarrow", "xxhash"),
    code=("llm.tokens.encoding", "llm.tokens.partitions"),
)
