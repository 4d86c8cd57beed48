"""evaluate: every model of the recipe on the same validation text, answers and prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow.parquet as pq
from pydantic import Field

from llm.evaluation.items import ITEMS
from llm.evaluation.run_file import Precision
from llm.evaluation.score_tables import CHANGE, SAMPLES, SCORES
from llm.evaluation.tasks.answer_table import ANSWERS
from llm.training.run_file import CudaOrCpu
from tasks.engine.config import StageConfig, added, execution
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Table
from tasks.panels.panels import Samples as SamplesPanel
from tasks.stages.chain_models import chain_models, local_files
from tasks.stages.evaluate_others import model_records, model_snapshots
from tasks.stages.evaluate_tasks import (
    harness_files,
    harness_snapshots,
    task_records,
    task_snapshots,
)
from tasks.stages.prompts import answers_fit, texts_fit

_SAMPLES_SHOWN = 60


class EvaluateConfig(StageConfig):
    """What is measured, and on how much."""

    validation_bytes: int = Field(
        250_000,
        description="Bytes of validation documents scored, from the first doc_id on.",
        ge=100,
        le=10_000_000_000,
    )
    max_instructions: int = Field(
        500, description="Validation instructions whose answers are scored.", ge=1, le=1_000_000
    )
    max_preferences: int = Field(
        500, description="Validation pairs whose two answers are scored.", ge=1, le=1_000_000
    )
    max_generated: int = Field(
        32,
        description="Validation prompts answered, to measure the length of answers; 0 = none.",
        ge=0,
        le=100_000,
    )
    prompts: list[str] = Field(
        [
            "What does numpy.linalg.norm do?",
            "What is a context manager?",
            "How do I read a CSV file with pandas?",
        ],
        description="Questions every model answers, for you to read.",
    )
    continuations: list[str] = Field(
        ["Return the", "This function", "Parameters\n"],
        description="Texts the base model continues, for you to read.",
    )
    new_tokens: int = Field(128, description="Longest answer, in tokens.", ge=1, le=65_536)
    tasks: list[str] = execution(
        [], "Benchmark tasks: files of settings, each beside the files of its records."
    )
    lm_eval_tasks: list[str] = added([], "Tasks, groups or tags that lm-eval has, by name.")
    lm_eval_files: list[str] = execution(
        [], "Tasks of lm-eval's kind: YAML files, each in a folder with all that it needs."
    )
    max_items: int = added(0, "Items of each task, the first ones; 0 = all.", ge=0, le=10_000_000)
    held_out_items: int = added(
        0,
        "Items of each of two tasks made from validation text: which sentence goes on, and which "
        "order of words is right; 0 = without them.",
        ge=0,
        le=100_000,
    )
    by_language: bool = added(False, "Bits per byte by language, too, where `annotate` knows it.")
    rolling: bool = added(False, "Bits per byte as lm-eval counts them, too.")
    models: list[str] = execution(
        [], "Models of others to measure beside: folders or ids of the hub, NAME= before or not."
    )
    resamples: int = Field(
        1_000, description="Bootstrap resamples behind an interval.", ge=100, le=100_000
    )
    seed: int = Field(0, description="Random seed of the bootstrap.", ge=0, le=2**31 - 1)
    precision: Precision = Field(
        "fp32",
        description="bf16: matrix products in bfloat16, quicker on a GPU; scores shift a little.",
    )
    eval_batch_tokens: int = execution(
        8_192, "Tokens per forward pass, padding included; at most 2,048 on a CPU.", ge=1, le=2**24
    )
    device: CudaOrCpu = execution("auto", "Where to run; auto takes a GPU if there is one.")
    threads: int = execution(0, "CPU threads; 0 = whichever number is fastest.", ge=0, le=1024)


def _prompts_fit(config: EvaluateConfig, longest_token: int, context: int) -> Iterator[str]:
    yield from answers_fit("evaluate", config.new_tokens, context)
    yield from texts_fit("evaluate.prompts", config.prompts, context, longest_token, chat=True)
    yield from texts_fit("evaluate.continuations", config.continuations, context, longest_token)


def _validation_documents(config: EvaluateConfig, validation_fraction: float) -> Iterator[str]:
    if not validation_fraction:
        yield (
            "dedup.validation_fraction: 0 holds no document out, and evaluate scores validation "
            "documents; raise it, or remove the section evaluate"
        )


def externals(config: EvaluateConfig) -> Mapping[str, Snapshot]:
    """Benchmark tasks with the files they need, and models of others."""
    return {
        **task_snapshots(config.tasks),
        **harness_snapshots(config.lm_eval_tasks, config.lm_eval_files),
        **model_snapshots(config.models),
    }


def run(config: EvaluateConfig, inputs: Inputs, out: Out) -> None:
    """Measure in a process of its own.

    Raises:
        TrainerError: it failed: no validation document (`NoValidationTextError`), a damaged
            model.
    """
    results = out.scratch / "results"
    models = [name for name in inputs if name not in STAGE.inputs]
    # Paths are those of the snapshots.
    elsewhere = {"pool", "by_language", "tasks", "lm_eval_files", "models"}
    settings = config.model_dump(mode="json", exclude=elsewhere)
    out.launch(
        "llm.evaluation",
        {
            **settings,
            "models": [{"name": name, "folder": str(inputs[name].folder())} for name in models],
            "documents": local_files(inputs.get("documents")),
            "instructions": local_files(inputs.get("instructions")),
            "preferences": local_files(inputs.get("preferences")),
            "attributes": local_files(inputs.get("attributes")),
            "tasks": task_records(inputs.external),
            "lm_eval_files": harness_files(inputs.external),
            "others": model_records(inputs.external, models),
            "results": str(results),
        },
    )
    for name in ("scores", "items", "samples", "answers"):
        with out.table(name) as writer:
            writer.write(pq.read_table(results / f"{name}.parquet"))
    for name, value in json.loads((results / "facts.json").read_text(encoding="utf-8")).items():
        out.fact(name, value)


def _models(stages: Sequence[Stage]) -> dict[str, Input]:
    """Each model is compared with the one before it; without the first there is none."""
    found = dict(chain_models(stages))
    first = next(iter(found))
    return {**found, first: replace(found[first], optional=False)}


def panels(artifact: Artifact) -> list[Panel]:
    """Models side by side, what changed from one to the next, and what they say."""
    rows = artifact.data("scores").table().to_pylist()
    scores = [row for row in rows if not row["metric"].endswith(CHANGE)]
    changes = [row for row in rows if row["metric"].endswith(CHANGE)]
    facts = artifact.facts
    note = (
        f"{facts['validation_bytes']} bytes of {facts['validation_documents']} validation "
        f"documents, {facts['validation_instructions']} instructions, "
        f"{facts['validation_preferences']} pairs. In brackets: 95 % bootstrap interval."
    )
    shown: list[Panel] = [_side_by_side("Scores", scores, note)]
    if changes:
        difference = "Differences from the model before, on the same units, resampled in pairs."
        shown.append(_side_by_side("Changes", changes, difference))
    if facts["tasks"]:
        shown.append(_task_table(artifact))
    shown.append(_left_out_table(artifact))
    samples = artifact.data("samples").table().slice(0, _SAMPLES_SHOWN).to_pylist()
    items = [
        Sample(row["prompt"], row["completion"], {"model": row["model"]})
        for row in sorted(samples, key=lambda row: str(row["prompt"]))
    ]
    if items:
        shown.append(SamplesPanel("What the models say", items, "The most probable token each."))
    return shown


def _side_by_side(title: str, rows: list[dict[str, Cell]], note: str) -> Table:
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    cells = {(row["metric"], row["model"]): _with_interval(row) for row in rows}
    lines: list[list[Cell]] = [
        [metric.removesuffix(CHANGE), *(cells.get((metric, model)) for model in models)]
        for metric in metrics
    ]
    return Table(title, ["metric", *models], lines, note)


def _with_interval(row: dict[str, Cell]) -> str:
    value = f"{row['value']:.4g}"
    if row["low"] is None:
        return value
    return f"{value} [{row['low']:.4g}, {row['high']:.4g}]"


def _task_table(artifact: Artifact) -> Table:
    """What the tasks are, and what a draw among the choices would score."""
    rows: list[list[Cell]] = [
        [name, task["kind"].replace("_", " "), task["items"], task["chance"]]
        for name, task in artifact.facts["tasks"].items()
    ]
    return Table("Tasks", ["task", "kind", "items", "chance"], rows)


def _left_out_table(artifact: Artifact) -> Table:
    """Validation rows and items of tasks that a model could not be measured on."""
    rows: list[list[Cell]] = [
        [model, kind, reason, count]
        for model, kinds in artifact.facts["left_out"].items()
        for kind, reasons in kinds.items()
        for reason, count in sorted(reasons.items())
    ]
    note = (
        "Validation rows that are no conversation, or, as prompts, too long for the context; items "
        "of tasks without an answer that can be scored."
    )
    return Table("Rows not measured on", ["model", "rows", "reason", "count"], rows, note)


STAGE = Stage(
    name="evaluate",
    version=4,
    description="Scores every model on validation text, answers and preferences.",
    config=EvaluateConfig,
    inputs={
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"), "Documents with their split."
        ),
        "instructions": Input(
            ("examples.instructions",), "Validation answers to score.", optional=True
        ),
        "preferences": Input(
            ("examples.preferences",), "Validation pairs to tell apart.", optional=True
        ),
        "attributes": Input(
            ("annotate.attributes",), "Languages.", optional=True, asked="by_language"
        ),
    },
    inputs_from=_models,
    outputs={
        "scores": Output("A value per model and metric, with its 95 % interval.", SCORES),
        "items": Output(
            "What each item counts: every measure of a model is sum(value) / sum(weight).", ITEMS
        ),
        "samples": Output("Replies of the models to fixed prompts.", SAMPLES),
        "answers": Output("What each model makes of each item of the tasks.", ANSWERS),
    },
    run=run,
    panels=panels,
    externals=externals,
    requires=(
        Requirement(("tokenizer.longest_token", "pack.sequence_length"), _prompts_fit),
        Requirement(("dedup.validation_fraction",), _validation_documents),
    ),
    reproducible=False,  # the last digits depend on device, threads and batch
    libraries=("torch", "transformers", "tokenizers", "numpy", "jinja2", "lm-eval"),
    code=("llm.evaluation.__main__",),
)
