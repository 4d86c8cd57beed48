"""export: the last model of the recipe as a folder to hand on, compared with plain transformers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from pydantic import Field

from llm.export.parity_table import PARITY
from tasks.engine.config import StageConfig, execution
from tasks.engine.panels import Cell, Panel, Table
from tasks.engine.stage import Input, Output, Stage

if TYPE_CHECKING:
    from tasks.engine.artifact import Artifact, Inputs
    from tasks.engine.output import Out

_BASE = "pretrain"


class ExportConfig(StageConfig):
    """What is exported, and how strictly it is compared."""

    name: str = Field(
        "ingot",
        description="Name of the model, heading of its card.",
        min_length=1,
        max_length=100,
        pattern=r"^\S(.*\S)?$",
    )
    prompts: list[str] = Field(
        ["Return the", "What does numpy.linalg.norm do?", "def mean(values):\n    "],
        description="Texts on which transformers must give the same logits and continuation.",
        min_length=1,
    )
    new_tokens: int = Field(
        32, description="Tokens of the continuation compared.", ge=1, le=4_096
    )
    tolerance: float = Field(
        1e-4,
        description="Largest difference of logits, relative to the largest logit, in float32.",
        gt=0.0,
        le=0.1,
    )
    threads: int = execution(0, "Threads of torch; 0 = as it finds fit.", ge=0, le=1024)


def run(config: ExportConfig, inputs: Inputs, out: Out) -> None:
    """Copy and compare in a process of its own, then write the card.

    Raises:
        TrainerError: it failed; `ParityError` in its message gives the figures.
    """
    from llm.export.hf import write_card

    results, folder = out.scratch / "results", out.folder("model")
    settings = config.model_dump(mode="json", exclude={"pool", "name"})
    out.launch(
        "llm.export",
        {
            **settings,
            "model": str(inputs["model"].folder()),
            "folder": str(folder),
            "scratch": str(out.scratch / "reference"),
            "results": str(results),
        },
    )
    table = pq.read_table(results / "parity.parquet")
    with out.table("parity") as writer:
        writer.write(table)
    stage = _stage(inputs)
    figures = _figures(inputs, stage)
    write_card(folder, config.name, stage != _BASE, figures)
    checks = table.to_pylist()
    out.fact("stage", stage)
    out.fact("card", figures)
    out.fact(
        "largest_logit_difference",
        max(row["difference"] for row in checks if row["check"] == "logits"),
    )
    out.fact("tolerance", config.tolerance)
    out.fact("checks", len(checks))
    out.fact("files", {path.name: path.stat().st_size for path in sorted(folder.iterdir())})
