"""pack: documents as rows of tokens of one length, every token exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from llm.process.guarded import LostDocument, guarded
from llm.rows import bytes_of, is_equal
from llm.tables import DOC_ID, REJECTED, REMOVED, SPLITS, TRAIN
from llm.tokens import sequences
from llm.tokens.encoding import encoder
from llm.tokens.flat_tokens import FlatTokens
from llm.tokens.hf_folder import load_tokenizer, special_id
from llm.tokens.mixture import UnknownSourceError, check_sources, repeats
from llm.tokens.sequences import SEQUENCES, SOURCE, Packed
from llm.tokens.special_tokens import PAD
from tasks.engine.config import Part, ShardedConfig, added
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.errors import ConservationError, IngotError
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.pack_panels import panels

TOKENS = pa.schema(
    [
        DOC_ID,
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
    ]
)


class UnpackableError(IngotError):
    """The documents and the config do not go together; names the field."""


class Weight(Part):
    """How often the documents of a source are seen."""

    source: str = Field(description="Name of a source.", min_length=1)
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

    @model_validator(mode="after")
    def _each_source_once(self) -> PackConfig:
        names = [weight.source for weight in self.weights]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"weights: more than one for {', '.join(repeated)}; keep one each")
        return self


def _sources_exist(config: PackConfig, sources: Sequence[str]) -> Iterator[str]:
    for place, weight in enumerate(config.weights):
        if weight.source not in sources:
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
    """Tokenise part by part, plan the rows of each split, write them.

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
    path = out.scratch / "tokens.bin"
    try:
        flat = FlatTokens(path, out.data("tokens").tables())
        _pack(config, inputs, out, flat)
    finally:
        path.unlink(missing_ok=True)


def _pack(config: PackConfig, inputs: Inputs, out: Out, flat: FlatTokens) -> None:
    pad = special_id(load_tokenizer(inputs["tokenizer"].folder()), PAD)
    uses = _uses(config, flat.index, out)
    length = flat.index.column("length").to_numpy()
    tokens_in = int((length * np.maximum(uses, 1)).sum())  # what is not used counts as removed
    unused = int(length[uses == 0].sum())
    facts: dict[str, dict[str, Any]] = {}
    rows_of: dict[str, int] = {}
    kept = first = 0
    if config.by_source:
        out.extend("sequences", [SOURCE])
    with out.table("sequences") as writer:
        for split in SPLITS:
            begin, tokens, padding = first, 0, 0
            for source, packed in _plans(config, flat.index, uses, split):
                for table in sequences.rows(packed, flat, split, pad, first):
                    writer.write(_of_source(table, source) if config.by_source else table)
                    lengths = table.column("doc_lengths").combine_chunks().flatten()
                    kept += int(lengths.to_numpy().sum())
                    done = table.column("sequence_id")[-1].as_py() + 1 - first
                    out.progress(done, packed.plan.rows, f"{split} row")
                first += packed.plan.rows
                tokens, padding = tokens + packed.tokens, padding + packed.padding
                if source is not None:
                    rows_of[source] = packed.plan.rows
            rows = flat.index.filter(is_equal(flat.index.column("split"), split))
            edges, counts = sequences.length_histogram(rows.column("length").to_numpy())
            facts[split] = {
                "documents": rows.num_rows,
                "bytes": int(rows.column("bytes").to_numpy().sum()),
                "rows": first - begin,
                "tokens": tokens,
                "padding": padding,
                "document_length_edges": edges,
                "document_length_counts": counts,
            }
    if not facts["train"]["rows"]:
        raise UnpackableError(
            "pack: no token is left to train on; look at the train split of the documents and at "
            "pack.weights"
        )
    out.fact("splits", facts)
    out.fact("sources", _sources(flat.index, uses, rows_of))
    out.conserve(tokens_in, kept, removed={"mixture": unused} if unused else {}, unit="token")


def _plans(
    config: PackConfig, index: pa.Table, uses: NDArray[np.int64], split: str
) -> Iterator[tuple[str | None, Packed]]:
    """The rows of a split, in order; those of each source apart where that is wanted.

    Validation rows stay one stream: a loss over the first of them is to be one over all sources.
    """
    train = split == TRAIN
    member = is_equal(index.column("split"), split).to_numpy()
    groups: list[tuple[str | None, NDArray[np.bool_]]] = [(None, member)]
    if config.by_source and train:
        named = index.column("source").fill_null("")
        present = sorted(set(named.filter(pa.array(member)).to_pylist()))
        groups = [(source, member & is_equal(named, source).to_numpy()) for source in present]
    for source, mine in groups:
        yield (
            source,
            sequences.pack(
                index.filter(pa.array(mine)),
                uses[mine],
                config.sequence_length + 1,
                config.strategy if train else "concatenate",
                config.seed if train else None,
            ),
        )


def _of_source(table: pa.Table, source: str | None) -> pa.Table:
    return table.append_column(SOURCE, pa.array([source] * table.num_rows, pa.string()))


def _uses(config: PackConfig, index: pa.Table, out: Out) -> NDArray[np.int64]:
    """int64 (documents,): how often each is used; documents not used are written as removed."""
    found = index.column("split").unique().to_pylist()
    unknown = sorted(set(found) - set(SPLITS))
    if unknown:
        raise UnpackableError(f"pack: split {unknown[0]!r} is none of {', '.join(SPLITS)}")
    ids, sources = index.column("doc_id").to_pylist(), index.column("source").to_pylist()
    train = is_equal(index.column("split"), TRAIN).to_numpy()
    epochs = {weight.source: weight.epochs for weight in config.weights}
    try:
        check_sources(list(epochs), sorted({source or "" for source in sources}))
    except UnknownSourceError as error:
        raise UnpackableError(f"pack.weights: {error}") from error
    uses = np.where(train, repeats(ids, sources, epochs, config.seed), 1)
    unused = np.flatnonzero(uses == 0).tolist()
    rows = {
        "doc_id": [ids[row] for row in unused],
        "reason": ["mixture"] * len(unused),
        "value": [0.0] * len(unused),
        "threshold": [epochs[sources[row]] for row in unused],
        "detail": [sources[row] for row in unused],
    }
    with out.table("removed") as removed:
        removed.write(pa.table(rows, schema=REMOVED))
    return uses


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
    },
    outputs={
        "sequences": Output("Rows of tokens with the documents they come from.", SEQUENCES),
        "tokens": Output("The tokens of each document.", TOKENS, unique_ids=True),
        "removed": Output("Documents the mixture does not use.", REMOVED, unique_ids=True),
        "rejected": Output("Documents without a text or not tokenised.", REJECTED, True),
    },
    run=run,
    panels=panels,
    requires=(Requirement(("source.names",), _sources_exist),),
    libraries=("tokenizers", "numpy", "pyarrow", "xxhash"),
    code=("llm.tokens.encoding",),
)
