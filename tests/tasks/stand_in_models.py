"""evaluate and export run through the real engine on tiny models, in place of the stages before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from llm.corpus.attribution.block_file import write_blocks
from llm.corpus.attribution.tables import TRAINED
from llm.evaluation.judge.tables import JUDGE_SCORES
from llm.tables import DOC_ID
from llm.tables import SPLIT_DOCUMENTS as DOCUMENTS
from llm.tokens.special_tokens import END_OF_TEXT, TURN_END
from tasks.engine.config import StageConfig
from tasks.engine.declare import Input, Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel
from tasks.stages import evaluate, export
from tests.llm.evaluation.tiny_models import (
    instruction_rows,
    model_folder,
    preference_rows,
    tiny_model,
)

CONTEXT = 96
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_EXAMPLE = [
    DOC_ID,
    pa.field("source", pa.string()),
    pa.field("split", pa.string()),
    pa.field("parent_doc_ids", pa.list_(pa.string())),
]
INSTRUCTIONS = pa.schema([*_EXAMPLE, pa.field("messages", _MESSAGES)])
PREFERENCES = pa.schema(
    [*_EXAMPLE, *(pa.field(name, _MESSAGES) for name in ("prompt", "chosen", "rejected"))]
)
SEQUENCES = pa.schema([pa.field("split", pa.string()), pa.field("tokens", pa.list_(pa.int32()))])


class StandInConfig(StageConfig):
    """Of a stage that only stands for one."""

    seed: int = 0
    validation: bool = True
    spoiled: bool = False
    addresses: bool = False


def _documents(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    split = "validation" if config.validation else "train"
    rows = [
        {"doc_id": f"{number:032x}", "text": f"def f{number}(x):\n    return x\n", "split": split}
        for number in range(30)
    ]
    if config.addresses:  # ten more of either split, with somebody to write to
        rows += [
            {
                "doc_id": f"{number:032x}",
                "text": f"def g(x):\n    return x\n\nWritten by nobody{number}@orchid.dev\n",
                "split": "train" if number % 2 else "validation",
            }
            for number in range(100, 120)
        ]
    with out.table("documents") as writer:
        writer.write(pa.Table.from_pylist(rows, schema=DOCUMENTS))


def _examples(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    for name, rows, schema in (
        ("instructions", instruction_rows(), INSTRUCTIONS),
        ("preferences", preference_rows(), PREFERENCES),
    ):
        with out.table(name) as writer:
            writer.write(pa.Table.from_pylist(rows, schema=schema))


def _sequences(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    with out.table("sequences") as writer:
        writer.write(
            pa.Table.from_pylist(
                [
                    {"split": "train", "tokens": [*range(4, 40)]},
                    {"split": "validation", "tokens": [*range(40, 100), 3, 3]},
                    {"split": "validation", "tokens": [*range(100, 160)]},
                ],
                schema=SEQUENCES,
            )
        )
    out.fact("splits", {"train": {"tokens": 12_345, "bytes": 54_321}})


def _base(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    folder = model_folder(out.folder("model"), tiny_model(CONTEXT, config.seed), END_OF_TEXT)
    if config.spoiled:  # rows that the weights do not have
        path = folder / "config.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"vocab_size": record["vocab_size"] + 128}))


def _index(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    for _ in write_blocks(["☃☃☃☃".encode()], out.folder("index") / TRAINED / "part"):
        pass


def _tuned(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    model_folder(out.folder("model"), tiny_model(CONTEXT, config.seed), TURN_END)


def _judged(config: StandInConfig, inputs: Inputs, out: Out) -> None:
    told = {"against": "", "low": 7.0, "high": 8.0, "n": 30}
    rows = [
        {"model": "sft", "metric": f"grade/{criterion}", "value": value, **told}
        for criterion, value in (("accuracy", 3.5), ("safety", 7.5))
    ]
    with out.table("scores") as writer:
        writer.write(pa.Table.from_pylist(rows, schema=JUDGE_SCORES))


def no_panels(artifact: Artifact) -> list[Panel]:
    return []


def _stage(
    name: str,
    run: Any,
    outputs: dict[str, Output],
    makes_model: str = "",
    inputs: Mapping[str, Input] = MappingProxyType({}),
) -> Stage:
    return Stage(
        name,
        1,
        "Of a test.",
        StandInConfig,
        inputs,
        outputs,
        run,
        no_panels,
        makes_model=makes_model,
    )


_MODEL = {"model": Output("A model.")}
STAGES = registry(
    (
        _stage("dedup", _documents, {"documents": Output("", DOCUMENTS)}),
        _stage(
            "pack",
            _sequences,
            {"sequences": Output("", SEQUENCES)},
        ),
        _stage("index", _index, {"index": Output("Blocks.")}),
        _stage("pretrain", _base, _MODEL, "base"),
        _stage(
            "examples",
            _examples,
            {"instructions": Output("", INSTRUCTIONS), "preferences": Output("", PREFERENCES)},
        ),
        _stage("sft", _tuned, _MODEL, "sft"),
        _stage(
            "judge",
            _judged,
            {"scores": Output("", JUDGE_SCORES)},
            inputs={"sft": Input(("sft.model",), "", optional=True)},
        ),
        evaluate.STAGE,
        export.STAGE,
    )
)


def built(home: Path, **configs: StageConfig) -> dict[str, BuildResult]:
    """Build the stages configured."""
    store = Store(str(home))
    return build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))
