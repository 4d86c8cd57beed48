"""A model and examples out of a folder, in place of the stages that make them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.tables import DOC_ID
from tasks.engine.config import StageConfig, execution
from tasks.engine.declare import Output
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Panel

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SPLIT = pa.field("split", pa.string(), nullable=False)
INSTRUCTIONS = pa.schema([DOC_ID, SPLIT, pa.field("messages", MESSAGES)])
PREFERENCES = pa.schema(
    [DOC_ID, SPLIT, *(pa.field(name, MESSAGES) for name in ("prompt", "chosen", "rejected"))]
)


class StandInConfig(StageConfig):
    folder: str = execution("", "Files of a test.")


def given_externals(config: StandInConfig) -> Mapping[str, Snapshot]:
    return {"files": snapshot_files([config.folder], "test.folder")}


def pretrain_run(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    for item in inputs.external["files"].items:
        shutil.copyfile(item.path, out.folder("model") / Path(item.name).name)
    out.conserve(0, 0)


def examples_run(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    rows = 0
    for item in inputs.external["files"].items:
        table = pq.read_table(item.path)
        rows += table.num_rows
        with out.table(Path(item.name).stem) as writer:
            writer.write(table)
    out.conserve(rows, rows)


def no_panels(artifact: Artifact) -> list[Panel]:
    return []


PRETRAIN = Stage(
    name="pretrain",
    version=1,
    description="A model of a test.",
    config=StandInConfig,
    inputs={},
    outputs={"model": Output("The model.")},
    run=pretrain_run,
    panels=no_panels,
    externals=given_externals,
)
EXAMPLES = Stage(
    name="examples",
    version=1,
    description="Examples of a test.",
    config=StandInConfig,
    inputs={},
    outputs={
        "instructions": Output("Instructions.", INSTRUCTIONS, unique_ids=True),
        "preferences": Output("Preferences.", PREFERENCES, unique_ids=True),
    },
    run=examples_run,
    panels=no_panels,
    externals=given_externals,
)
