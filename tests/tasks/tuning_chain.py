"""A chain of a test: a tiny model, tuned on a few instructions, then on preferences."""

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
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel
from tasks.stages import dpo, sft
from tasks.stages.dpo import DpoConfig
from tasks.stages.sft import SftConfig
from tests.llm.alignment.tiny_run import instructions, model_folder, preferences

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SPLIT = pa.field("split", pa.string(), nullable=False)
INSTRUCTIONS = pa.schema([DOC_ID, SPLIT, pa.field("messages", MESSAGES)])
PREFERENCES = pa.schema(
    [DOC_ID, SPLIT, *(pa.field(name, MESSAGES) for name in ("prompt", "chosen", "rejected"))]
)
QUICK = {"batch_size": 8, "threads": 1, "device": "cpu", "precision": "fp32"}


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
STAGES = {stage.name: stage for stage in (PRETRAIN, EXAMPLES, sft.STAGE, dpo.STAGE)}


def planned(folder: Path, sft_config: SftConfig, dpo_config: DpoConfig) -> Planner:
    """A planner of the chain in a folder; its files are made if they are not there."""
    if not (folder / "model").exists():
        model_folder(folder)
        (folder / "rows").mkdir()
        instructions(folder / "rows" / "instructions.parquet")
        preferences(folder / "rows" / "preferences.parquet")
    configs: dict[str, StageConfig] = {
        "pretrain": StandInConfig(folder=str(folder / "model")),
        "examples": StandInConfig(folder=str(folder / "rows")),
        "sft": sft_config,
        "dpo": dpo_config,
    }
    store = Store(str(folder / "home"))
    return Planner(chain(STAGES, configs), configs, "test", store, Selection())


def built(folder: Path, sft_config: SftConfig, dpo_config: DpoConfig) -> dict[str, BuildResult]:
    """The same, built."""
    return build(planned(folder, sft_config, dpo_config))
