"""export: the last model of the recipe as a folder to hand on, compared with plain transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq
from pydantic import Field

from llm.export.hf import write_card
from llm.export.parity_table import PARITY
from tasks.engine.config import StageConfig, execution
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Table
from tasks.stages.prompts import answers_fit, texts_fit

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
    new_tokens: int = Field(32, description="Tokens of the continuation compared.", ge=1, le=4_096)
    tolerance: float = Field(
        1e-4,
        description="Largest difference of logits, relative to the largest logit, in float32.",
        gt=0.0,
        le=0.1,
    )
    threads: int = execution(0, "PyTorch threads; 0 = PyTorch's own choice.", ge=0, le=1024)


def _prompts_fit(config: ExportConfig, longest_token: int, context: int) -> Iterator[str]:
    yield from answers_fit("export", config.new_tokens, context)
    yield from texts_fit("export.prompts", config.prompts, context, longest_token)


def run(config: ExportConfig, inputs: Inputs, out: Out) -> None:
    """Copy and compare in a process of its own, then write the card.

    Raises:
        TrainerError: it failed; `ParityError` in its message gives the figures.
    """
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
    compared = {row["text"] for row in checks if row["check"] == "logits"}
    too_long = [prompt for prompt in config.prompts if prompt not in compared]
    for prompt in too_long:
        out.log(f"export.prompts: {prompt[:60]!r} fills the model's context; not compared")
    out.fact("prompts_left_out", too_long)
    out.fact("stage", stage)
    out.fact("card", figures)
    out.fact(
        "largest_logit_difference",
        max(row["difference"] for row in checks if row["check"] == "logits"),
    )
    out.fact("tolerance", config.tolerance)
    out.fact("checks", len(checks))
    out.fact("files", {path.name: path.stat().st_size for path in sorted(folder.iterdir())})


def _last_model(stages: Sequence[Stage]) -> dict[str, Input]:
    """The model of the last stage of the recipe that makes one."""
    sources = [f"{stage.name}.model" for stage in reversed(stages) if stage.makes_model]
    return {"model": Input(tuple(sources), "The last model of the recipe.")}


def _stage(inputs: Inputs) -> str:
    """Which stage made the model."""
    artifact = inputs["model"].artifact
    assert artifact is not None  # an input is always published
    return artifact.stage


def _figures(inputs: Inputs, stage: str) -> dict[str, str | int]:
    """What the card says beyond the architecture: where the model comes from."""
    folder = inputs["model"].folder()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    figures: dict[str, str | int] = {
        "made by": stage,
        "identity of the model": inputs["model"].data_id,
        "SHA-256 of tokenizer.json": config["tokenizer_sha256"],
    }
    sequences = inputs.get("sequences")
    if sequences is not None:
        train = sequences.facts["splits"]["train"]
        figures["tokens in the training rows"] = train["tokens"]
        figures["bytes of training text"] = train["bytes"]
    return figures


def panels(artifact: Artifact) -> list[Panel]:
    """The figures of the comparison, and the files."""
    facts = artifact.facts
    rows = artifact.data("parity").table().to_pylist()
    checks: list[list[Cell]] = [
        [row["check"], repr(row["text"]), row["difference"], row["limit"], row["passed"]]
        for row in rows
    ]
    note = (
        "logits: relative to the largest; otherwise positions that differ. Compared "
        "with plain transformers."
    )
    card: list[list[Cell]] = [[name, value] for name, value in facts["card"].items()]
    files: list[list[Cell]] = [[name, size] for name, size in facts["files"].items()]
    columns = ["check", "text", "difference", "limit", "passed"]
    return [
        Table("Parity with transformers", columns, checks, note),
        Table("Model", ["", "value"], card),
        Table("Files", ["file", "bytes"], files),
    ]


STAGE = Stage(
    name="export",
    version=2,
    description="The model as a Hugging Face folder, compared with plain transformers.",
    config=ExportConfig,
    inputs={
        "sequences": Input(
            ("pack.sequences",), "What it was trained on, for the card.", optional=True
        ),
    },
    inputs_from=_last_model,
    outputs={
        "model": Output("The Hugging Face folder with its card."),
        "parity": Output("Differences from what transformers computes with it.", PARITY),
    },
    run=run,
    panels=panels,
    requires=(Requirement(("tokenizer.longest_token", "pack.sequence_length"), _prompts_fit),),
    reproducible=False,  # the differences' last digits depend on threads
    libraries=("torch", "transformers", "tokenizers", "safetensors"),
    code=("llm.export.__main__", "llm.export.reference"),
)
