"""export: the last model of the recipe as files to hand on, compared with what reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from llm.export.card import CardText, write_card
from llm.export.gguf_parity_table import GGUF_PARITY
from llm.export.parity_table import PARITY
from llm.export.run_file import About, GgufType
from tasks.engine.config import StageConfig, added, execution
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.stages.export_lineage import about, safety_grade, scores, validation_rows
from tasks.stages.export_panels import panels
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
    gguf: list[GgufType] = added(
        [],
        "GGUF files to write, for llama.cpp and Ollama, one of each type; the first is the one of "
        "Ollama's Modelfile. q8_0 and q4_0 are quantised. Empty = none.",
        max_length=5,
    )
    gguf_tokens: int = added(
        1_024,
        "Validation tokens on which llama.cpp's bits per byte and agreement are measured.",
        ge=2,
        le=1_000_000,
    )
    card_scores: bool = added(
        False, "Put the scores of evaluate on the card, where the recipe has that stage."
    )
    card_judge: bool = added(
        False, "Put the judge's grade of safety on the card, where the recipe has the stage judge."
    )
    license: str = added(
        "",
        "Licence you give the weights, as an identifier (apache-2.0); empty = the card says that "
        "none is stated.",
        max_length=100,
        pattern=r"^\S*$",
    )
    intended_use: str = added(
        "",
        "What the model is for, a paragraph on its card; empty = a general caution.",
        max_length=10_000,
    )
    threads: int = execution(0, "PyTorch threads; 0 = PyTorch's own choice.", ge=0, le=1024)

    @field_validator("gguf")
    @classmethod
    def _each_once(cls, kinds: list[GgufType]) -> list[GgufType]:
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"a type stands twice: {', '.join(kinds)}")
        return kinds


def _prompts_fit(
    config: ExportConfig, longest_token: int, digits: str, context: int
) -> Iterator[str]:
    yield from answers_fit("export", config.new_tokens, context)
    yield from texts_fit("export.prompts", config.prompts, context, longest_token, digits)


def run(config: ExportConfig, inputs: Inputs, out: Out) -> None:
    """Copy, write and compare in a process of its own, then write the card.

    Raises:
        TrainerError: it failed; `ParityError` or `GgufParityError` in its message gives the
            figures.
    """
    results, folder, gguf = out.scratch / "results", out.folder("model"), out.folder("gguf")
    source, sequences = inputs["model"], inputs.get("sequences")
    facts = json.loads((source.folder() / "config.json").read_text(encoding="utf-8"))
    told = about(config.name, config.license, source, facts["tokenizer_sha256"])
    rows = (
        validation_rows(sequences, config.gguf_tokens, facts["pad_token_id"]) if config.gguf else []
    )
    out.launch(
        "llm.export",
        {
            "prompts": config.prompts,
            "new_tokens": config.new_tokens,
            "tolerance": config.tolerance,
            "threads": config.threads,
            "model": str(source.folder()),
            "folder": str(folder),
            "scratch": str(out.scratch / "reference"),
            "results": str(results),
            "gguf": {
                "types": config.gguf,
                "folder": str(gguf),
                "rows": rows,
                "about": dataclasses.asdict(told),
            },
        },
    )
    table = _copy_table(results / "parity.parquet", "parity", PARITY, out)
    stage = told.lineage[0].value
    figures = _figures(told, sequences)
    measured = scores(inputs.get("scores"), source)
    judged = safety_grade(inputs.get("judged"), source)
    if judged is not None:
        measured = [*(measured or ()), judged]
    write_card(folder, CardText(told, stage != _BASE, figures, config.intended_use, measured))
    checks = table.to_pylist()
    compared = {row["text"] for row in checks if row["check"] == "logits"}
    too_long = [prompt for prompt in config.prompts if prompt not in compared]
    for prompt in too_long:
        out.log(f"export.prompts: {prompt[:60]!r} fills the model's context; not compared")
    if config.card_scores and measured is None:
        out.log("export.card_scores: evaluate did not score this model; the card has no scores")
    if config.card_judge and judged is None:
        out.log("export.card_judge: judge graded no safety of this model's answers (judge.grade)")
    out.fact("prompts_left_out", too_long)
    out.fact("stage", stage)
    out.fact("card", figures)
    out.fact(
        "largest_logit_difference",
        max(row["difference"] for row in checks if row["check"] == "logits"),
    )
    out.fact("tolerance", config.tolerance)
    out.fact("checks", len(checks))
    out.fact("files", _sizes(folder))
    _record_gguf(config, gguf, results, f"{sum(map(len, rows))} validation tokens", out)


def _record_gguf(
    config: ExportConfig, folder: Path, results: Path, measured_on: str, out: Out
) -> None:
    """The table of what llama.cpp computes, empty where it was not asked, and what was written."""
    found = _copy_table(results / "gguf_parity.parquet", "gguf_parity", GGUF_PARITY, out)
    if not config.gguf:
        return
    if not found.num_rows:
        out.log("xllamacpp is not installed: the GGUF files were not compared with llama.cpp")
    out.fact("gguf_types", config.gguf)
    out.fact("gguf_files", _sizes(folder))
    out.fact("gguf_compared", bool(found.num_rows))
    texts = "the prompts and texts of the comparison"
    out.fact("gguf_measured_on", measured_on if not measured_on.startswith("0 ") else texts)


def _copy_table(path: Path, name: str, schema: pa.Schema, out: Out) -> pa.Table:
    """Write an output from a file of the launched process; without rows where there is none."""
    table = pq.read_table(path) if path.exists() else schema.empty_table()
    with out.table(name) as writer:
        writer.write(table)
    return table


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def _last_model(stages: Sequence[Stage]) -> dict[str, Input]:
    """The model of the last stage of the recipe that makes one."""
    sources = [f"{stage.name}.model" for stage in reversed(stages) if stage.makes_model]
    return {"model": Input(tuple(sources), "The last model of the recipe.")}


def _figures(told: About, sequences: Data | None) -> dict[str, str | int]:
    """What the card says beyond the architecture: where the model comes from."""
    known = {fact.name: fact.value for fact in told.lineage}
    figures: dict[str, str | int] = {
        "made by": known["made_by"],
        "identity of the model": known["model_data_id"],
        "SHA-256 of tokenizer.json": known["tokenizer_sha256"],
    }
    if sequences is not None:
        train = sequences.facts["splits"]["train"]
        figures["tokens in the training rows"] = train["tokens"]
        figures["bytes of training text"] = train["bytes"]
    return figures


STAGE = Stage(
    name="export",
    version=2,
    description="The model as a Hugging Face folder and GGUF files, compared with what reads them.",
    config=ExportConfig,
    inputs={
        "sequences": Input(
            ("pack.sequences",), "What it was trained on, for the card.", optional=True
        ),
        "scores": Input(
            ("evaluate.scores",), "Scores, for the card.", optional=True, asked="card_scores"
        ),
        "judged": Input(
            ("judge.scores",),
            "The judge's grades, for the card.",
            optional=True,
            asked="card_judge",
        ),
    },
    inputs_from=_last_model,
    outputs={
        "model": Output("The Hugging Face folder with its card."),
        "parity": Output("Differences from what transformers computes with it.", PARITY),
        "gguf": Output("GGUF files, and Ollama's Modelfile.", optional=True),
        "gguf_parity": Output("What llama.cpp computes with the GGUF files.", GGUF_PARITY),
    },
    run=run,
    panels=panels,
    requires=(
        Requirement(
            ("tokenizer.learned_bytes", "tokenizer.digits", "pack.sequence_length"), _prompts_fit
        ),
    ),
    reproducible=False,  # the differences' last digits depend on threads
    libraries=("torch", "transformers", "tokenizers", "safetensors", "gguf"),
    code=("llm.export.__main__", "llm.export.reference", "llm.export.llamacpp"),
)
