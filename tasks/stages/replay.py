"""replay: of a corpus that has grown, the rows new to a model and some that it has seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from llm.rows import is_equal
from llm.tables import TRAIN
from llm.tokens.replay import drawn, new_tokens, train_documents, wanted_rows
from llm.tokens.sequences import SEQUENCES, SOURCE
from tasks.engine.config import StageConfig, execution
from tasks.engine.declare import Input, Output
from tasks.engine.errors import ExternalInputError
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.engine.store.named import is_named, named_artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel, Table
from tasks.stages.pretrain_data import sequence_length

_FIELD = "replay.seen"


class ReplayConfig(StageConfig):
    """Which rows a model goes on with."""

    seen: str = execution(
        "", "The corpus that the model to go on from has learned from, as pack@<build id>."
    )
    share: float = Field(
        0.5, description="Share of the rows that it has seen, at least.", ge=0.0, le=0.99
    )
    tokens: int = Field(
        0,
        description="Tokens of all rows together, at least; what the new ones lack is repeated.",
        ge=0,
    )
    seed: int = Field(0, description="Random seed of which rows are repeated.", ge=0, le=2**63 - 1)


def named(config: ReplayConfig, store: Store) -> Mapping[str, tuple[Artifact, str]]:
    """The documents of the corpus that was learned from.

    Raises:
        ExternalInputError: it is not in the store.
    """
    if not is_named(config.seen):
        raise ExternalInputError(
            f"{_FIELD}: {config.seen!r} names no corpus; write pack@ and at least 4 digits (0-9, "
            "a-f) of its build id, which `ingot why pack` shows"
        )
    return {"seen": named_artifact(store, config.seen, "tokens", _FIELD)}


def run(config: ReplayConfig, inputs: Inputs, out: Out) -> None:
    """Every row with a document that is new, rows drawn from the others, all validation rows."""
    sequences = inputs["sequences"]
    length = sequence_length(sequences)
    seen = train_documents(inputs["seen"].tables(["doc_id", "split"]))
    new = _new_tokens(sequences, seen)
    rows_new, rows_seen = int((new > 0).sum()), int((new == 0).sum())
    wanted = wanted_rows(rows_new, rows_seen, -(-config.tokens // length), config.share)
    keep = new != 0
    keep[new == 0] = drawn(rows_seen, wanted, config.seed)
    if SOURCE.name in pq.read_schema(sequences.path(sequences.parts[0])).names:
        out.extend("sequences", [SOURCE])
    begin = 0
    with out.table("sequences") as writer:
        for table in sequences.tables():
            writer.write(table.filter(pa.array(keep[begin : begin + table.num_rows])))
            begin += table.num_rows
            out.progress(begin, len(new), "row")
    out.fact("new_tokens", int(new[new > 0].sum()))
    out.fact("new_rows", rows_new)
    out.fact("replayed_rows", wanted)
    out.fact("tokens", (rows_new + wanted) * length)
    left = {"not_replayed": rows_seen - wanted} if rows_seen > wanted else {}
    out.conserve(len(new), int(keep.sum()), removed=left)


def _new_tokens(sequences: Data, seen: pa.Array) -> NDArray[np.int64]:
    """int64 (rows,): of each train row the tokens that are new; -1 of validation rows."""
    found = [np.empty(0, dtype=np.int64)]
    for table in sequences.tables(["split", "doc_ids", "doc_lengths"]):
        train = is_equal(table.column("split"), TRAIN).to_numpy()
        found.append(np.where(train, new_tokens(table, seen), -1))
    return np.concatenate(found)


def panels(artifact: Artifact) -> list[Panel]:
    """What is new, and what is repeated beside it."""
    facts = artifact.facts
    train = facts["new_rows"] + facts["replayed_rows"]
    return [
        Table(
            "Rows to go on with",
            ["", "value"],
            [
                ["rows with new documents", facts["new_rows"]],
                ["tokens of new documents", facts["new_tokens"]],
                ["rows repeated", facts["replayed_rows"]],
                ["share repeated", facts["replayed_rows"] / train if train else 0.0],
                ["tokens of all train rows", facts["tokens"]],
            ],
        )
    ]


STAGE = Stage(
    name="replay",
    version=1,
    description="Of a corpus that has grown: the rows new to a model, and some it has seen.",
    config=ReplayConfig,
    inputs={
        "sequences": Input(("pack.sequences",), "Rows of tokens."),
        "seen": Input((), "The corpus that `seen` names.", optional=True),
    },
    outputs={"sequences": Output("Rows of tokens to go on with.", SEQUENCES)},
    run=run,
    panels=panels,
    named=named,
    libraries=("numpy", "pyarrow"),
)
