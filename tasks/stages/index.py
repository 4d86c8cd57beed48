"""index: suffix arrays over what a model is trained on, to find where a text stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pydantic import Field

from llm.corpus.attribution.block_file import write_blocks
from llm.corpus.attribution.tables import (
    ANSWER_SETS,
    ANSWERS,
    INDEXED,
    INSTRUCTIONS,
    LEFT,
    LEFT_OUT,
    PREFERENCES,
    THUMBS,
    TRAINED,
)
from llm.rows import is_equal, places_of, rows_among
from llm.tables import TRAIN
from llm.tokens.token_texts import texts_of
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Input, Output
from tasks.engine.shards.unit import Emitted, Fact, NewFile, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.part_files import read_part
from tasks.stages.index_panels import panels
from tasks.stages.index_rows import REMOVERS, Origins, removed_input, trained

# Answers of an example, with their roles.
_ROLES = {
    INSTRUCTIONS: {"messages": "answer"},
    PREFERENCES: {"chosen": "chosen", "rejected": "rejected"},
    THUMBS: {"answer": "answer"},
}


class IndexConfig(ShardedConfig):
    """Which texts can be found."""

    answers: bool = Field(True, description="Answers of examples too, on which models are tuned.")
    left_out: bool = Field(
        True,
        description="Documents that were taken out or held out too, so that a text in one of them "
        "is known to have been seen; on a crawl several times as large as what is trained on.",
    )


def index_documents(unit: Unit) -> Iterator[Emitted]:
    """Blocks of the documents of one part that are trained on, out of their tokens."""
    rows = unit.table(["doc_id"])
    tokens = _aligned(unit, "tokens", ["doc_id", "tokens"], rows)
    # Row groups are chunks; all tokens of a part are one array.
    column = tokens.column("tokens").combine_chunks()
    yield from _blocks(unit, TRAINED, texts_of(column, unit.shared["tokenizer"]))


def index_left_out(unit: Unit) -> Iterator[Emitted]:
    """Blocks of the documents of one part that were left out, as `clean` gave them."""
    rows = unit.table(["doc_id"])
    texts = _aligned(unit, "cleaned", ["doc_id", "text"], rows).column("text").to_pylist()
    yield from _blocks(unit, LEFT_OUT, [_utf8(text) for text in texts])


def index_answers(unit: Unit, kind: str) -> Iterator[Emitted]:
    """Blocks of the answers of one part of examples that are learned."""
    examples = unit.table()
    rows: list[dict[str, Any]] = []
    texts: list[bytes] = []
    for example in examples.filter(is_equal(examples.column("split"), TRAIN)).to_pylist():
        for column, role in _ROLES[kind].items():
            said = [
                message["content"]
                for message in example[column]
                if message["role"] == "assistant" and message.get("supervised", True)
            ]
            texts.append(_utf8("\n\n".join(said)))
            rows.append({name: example.get(name) for name in ANSWERS.names} | {"role": role})
    yield kind, pa.Table.from_pylist(rows, ANSWERS)
    yield from _blocks(unit, kind, texts)


def _aligned(unit: Unit, name: str, columns: Sequence[str], rows: pa.Table) -> pa.Table:
    """Of the part cut alike the rows of the same documents, in the same order."""
    table = read_part(unit.aligned_file(name), columns)
    return table.take(places_of(rows.column("doc_id"), table.column("doc_id")))


def _utf8(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogatepass")


def _blocks(unit: Unit, kind: str, texts: Iterable[bytes]) -> Iterator[Emitted]:
    for block in write_blocks(texts, unit.scratch / unit.name):
        yield Fact(f"{kind}_texts", block.documents)
        yield Fact(f"{kind}_text_bytes", block.size)
        for path in block.paths():
            yield Fact(f"{kind}_bytes", path.stat().st_size)
            yield NewFile("index", f"{kind}/{path.name}", path)


def run(config: IndexConfig, inputs: Inputs, out: Out) -> None:
    """List the documents with where they come from, then build the blocks part by part."""
    for kind in (TRAINED, LEFT_OUT, *ANSWER_SETS):
        # The parts add up to these; no part, no sum.
        for name in ("texts", "text_bytes", "bytes"):
            out.fact(f"{kind}_{name}", 0)
    origins = Origins(inputs)
    _list_documents(inputs, out, origins)
    out.map(index_documents, over=TRAINED, aligned=("tokens",), shared=("tokenizer",))
    if config.left_out and "cleaned" in inputs:
        cleaned = inputs["cleaned"]
        for part, table in zip(
            cleaned.parts, cleaned.tables(["doc_id", "url", "title", "source"]), strict=True
        ):
            with out.table(LEFT_OUT, part.path.removesuffix(".parquet")) as writer:
                writer.write(origins.left(table))
        out.map(index_left_out, over=LEFT_OUT, aligned=("cleaned",))
    for kind in ANSWER_SETS:
        if config.answers and kind in inputs:
            # An example may be two answers: parts that were cut at their rows would be cut again.
            out.map(index_answers, over=kind, arguments={"kind": kind}, whole=True)


def _list_documents(inputs: Inputs, out: Out, origins: Origins) -> None:
    """Write which documents are trained on, and account for the others."""
    tokens, documents = inputs["tokens"], inputs["documents"]
    origin_of = {part.path: part for part in documents.parts}
    kept = held_out = 0
    for part, table in zip(tokens.parts, tokens.tables(["doc_id", "split"]), strict=True):
        chosen = table.filter(trained(table, origins.left_out))
        kept += chosen.num_rows
        held_out += table.num_rows - int(is_equal(table.column("split"), TRAIN).to_numpy().sum())
        known = documents.part_table(origin_of[part.path], ["doc_id", "url", "title", "source"])
        with out.table(TRAINED, part.path.removesuffix(".parquet")) as writer:
            writer.write(origins.indexed(rows_among(known, chosen.column("doc_id").to_pylist())))
    unused = tokens.rows - kept - held_out
    out.conserve(
        tokens.rows,
        kept,
        {name: count for name, count in (("held_out", held_out), ("mixture", unused)) if count},
        unit="document",
    )


STAGE = Stage(
    name="index",
    version=1,
    description="Suffix arrays over what a model is trained on: where does a text stand?",
    config=IndexConfig,
    inputs={
        "tokens": Input(("pack.tokens",), "The tokens of each document."),
        "tokenizer": Input(("tokenizer.tokenizer",), "The tokenizer."),
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"), "URL, title and source of each."
        ),
        "pages": Input(("source.pages",), "Licences of packages and archives.", optional=True),
        "cleaned": Input(
            ("clean.documents",), "Licences, and the text of what was left out.", optional=True
        ),
        **{
            removed_input(stage): Input(
                (f"{stage}.removed",), f"What {stage} took out, and why.", optional=True
            )
            for stage in REMOVERS
        },
        **{
            kind: Input((f"examples.{kind}",), "Answers to train on.", True, asked="answers")
            for kind in ANSWER_SETS
        },
    },
    outputs={
        "index": Output("Blocks of texts with their suffix arrays."),
        TRAINED: Output("Documents trained on, in the order of the blocks.", INDEXED, True),
        LEFT_OUT: Output("Documents left out, by which stage, and why.", LEFT, True),
        **{kind: Output(f"Answers of {kind} trained on.", ANSWERS) for kind in ANSWER_SETS},
    },
    run=run,
    panels=panels,
    libraries=("pydivsufsort", "numpy", "pyarrow"),
    code=("llm.corpus.attribution.block_file",),
)
