"""What all methods of alignment share: fields, the launch, the tables that come back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator, model_validator

from llm.alignment.run_file import LongRows, Schedule
from llm.tables import METRICS, REJECTED, REMOVED
from llm.training.run_file import CudaOrCpu, Precision
from tasks.engine.config import StageConfig, added, execution
from tasks.engine.declare import Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Cell, Curve, Panel, Table
from tasks.stages.chain_models import local_files
from tasks.stages.metrics import metric_points
from tasks.stages.prompts import CONTEXT

# Folder of a model that another program made of the starting one: while it is set, what is launched
# takes that model instead of training one. For tasks/handover alone.
ADOPTED = ContextVar("adopted", default="")
LIBRARIES = ("trl", "transformers", "torch", "tokenizers", "accelerate", "peft")
SAMPLES_SHOWN = 10


class TuningConfig(StageConfig):
    """How a model is tuned."""

    batch_size: int = Field(16, description="Rows a step.", ge=1, le=65_536)
    warmup_share: float = Field(
        0.1, description="Share of the steps in which the learning rate rises.", ge=0.0, le=0.9
    )
    schedule: Schedule = Field(
        "cosine", description="Learning rate after the warm-up: stays, or falls to zero."
    )
    weight_decay: float = Field(
        0.0, description="AdamW's weight decay, on all weights but norms.", ge=0.0, le=1.0
    )
    adam_beta1: float = Field(0.9, description="AdamW's decay of the mean.", ge=0.0, lt=1.0)
    adam_beta2: float = Field(0.95, description="AdamW's decay of the variance.", ge=0.0, lt=1.0)
    gradient_clip: float = Field(1.0, description="Largest norm of the gradient.", gt=0.0)
    max_length: int = Field(
        0,
        description="Longest row, in tokens; 0 = the model's context.",
        ge=0,
        le=1_048_576,
    )
    precision: Precision = Field(
        "auto",
        description="bf16: matrix products in bfloat16, weights and sums in float32; auto: bf16 "
        "where the device supports it, else fp32.",
    )
    seed: int = Field(0, description="Random seed of the order of rows.", ge=0, le=2**31 - 1)
    device: CudaOrCpu = execution("auto", "Where to train; auto takes a GPU if there is one.")
    threads: int = execution(0, "CPU threads; 0 = whichever number is fastest.", ge=0, le=1024)
    score_tokens: int = execution(
        8_192,
        "Tokens per forward pass over rows that are only scored; at most 2,048 on a CPU.",
        ge=1,
        le=2**24,
    )
    checkpoint_seconds: float = execution(
        600.0, "Seconds between checkpoints, from which a stopped run resumes.", ge=0.0
    )

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> TuningConfig:
        micro = getattr(self, "micro_batch_size", 0)
        if micro and self.batch_size % micro:
            raise ValueError(
                f"micro_batch_size: {micro} does not divide batch_size {self.batch_size}; "
                "take a divisor of it"
            )
        return self


class CutRowsConfig(TuningConfig):
    """How a model is tuned on rows that may be cut."""

    long_rows: LongRows = Field(
        "cut",
        description="What happens to longer rows: cut drops their end, remove leaves them out.",
    )
    max_truncated: float = Field(
        0.05,
        description="With cut: share of rows that may be longer; beyond it the stage fails.",
        ge=0.0,
        le=1.0,
    )


class AdaptersConfig(StageConfig):
    """Adapters that are trained in place of the model: low-rank ones, LoRA (Hu et al. 2021)."""

    lora_rank: int = added(
        0,
        "Train adapters of this rank, which are merged when training ends; 0 = the model itself.",
        ge=0,
        le=4_096,
    )
    lora_alpha: int = added(
        16, "With lora_rank: adapters are scaled by lora_alpha / lora_rank.", ge=1, le=65_536
    )
    lora_dropout: float = added(
        0.0, "With lora_rank: share of an adapter's inputs left out in training.", ge=0.0, lt=1.0
    )
    lora_targets: list[str] = added(
        ["all-linear"],
        "With lora_rank: matrices that get an adapter, by the last part of their names (q_proj); "
        "all-linear = every one but the output matrix.",
        min_length=1,
    )

    @field_validator("lora_targets")
    @classmethod
    def _all_or_some(cls, targets: list[str]) -> list[str]:
        if "all-linear" in targets and len(targets) > 1:
            raise ValueError("all-linear stands for every matrix; list it alone, or leave it out")
        return targets


class PairsConfig(CutRowsConfig):
    """How a model is tuned on pairs of answers."""

    epochs: int = Field(1, description="Passes over the pairs.", ge=1, le=1_000)
    # Not execution: losses are means over it, that of the last, smaller batch too.
    micro_batch_size: int = Field(
        0,
        description="Pairs per forward pass; must divide batch_size; 0 = the whole batch.",
        ge=0,
        le=65_536,
    )


class DriftConfig(StageConfig):
    """How far a model may leave the one it is tuned from, where answers are held against each
    other."""

    learning_rate: float = Field(
        1e-5,
        description="Highest learning rate; small models take 1e-5, large ones 5e-7.",
        gt=0.0,
        le=1.0,
    )
    beta: float = Field(
        0.1,
        description="Strength of the tie to the starting model; lower lets it drift further.",
        gt=0.0,
        le=100.0,
    )
    length_prompts: int = added(
        32,
        "Validation prompts on which the length of answers is followed; 0 = it is not.",
        ge=0,
        le=10_000,
    )
    max_chosen_drop: float = added(
        0.0,
        "The stage fails where validation's good answers (chosen, or with a thumb up) lose more "
        "nats a token; 0 = any.",
        ge=0.0,
        le=100.0,
    )
    max_length_growth: float = added(
        0.0,
        "The stage fails where answers become more than so many times as long; 0 = any.",
        ge=0.0,
        le=1_000.0,
    )


def requirements(stage: str, kind: str, files: str, cap: str) -> tuple[Requirement, ...]:
    """What a method asks of other stages: rows no longer than the context, and examples.

    Args:
        kind: of the examples it learns from, the output of `examples` it reads.
        files, cap: the fields of `examples` that decide whether there are any: files of them, and
            how many are made from documents at most.
    """

    def rows_fit(config: TuningConfig, context: int) -> Iterator[str]:
        if config.max_length > context:
            yield (
                f"{stage}.max_length: {config.max_length} is more than {CONTEXT}: {context}; lower "
                "it (0 = the context), or raise pack.sequence_length"
            )

    def some_examples(
        config: TuningConfig, from_documents: bool, limit: int, named: list[str]
    ) -> Iterator[str]:
        if not (from_documents and limit) and not named:
            yield (
                f"{stage}: learns from {kind}, and examples makes none; name examples.{files}, "
                f"or set make_from_documents and {cap} there"
            )

    made = ("examples.make_from_documents", f"examples.{cap}", f"examples.{files}")
    return (Requirement(("pack.sequence_length",), rows_fit), Requirement(made, some_examples))


def outputs(what: str, schema: pa.Schema, more: Mapping[str, Output]) -> dict[str, Output]:
    """The outputs of a method, which `launch` fills.

    Args:
        what: it learns from, as a plural.
        schema: of those as the model saw them.
        more: those of the method's own, or that are other things with it.
    """
    return {
        "model": Output("The tuned model, a Hugging Face folder."),
        "metrics": Output(f"Figures of every step, and of validation {what}.", METRICS),
        "examples": Output(f"{what.title()} as rendered and tokenised.", schema, unique_ids=True),
        **more,
        "removed": Output(f"{what.title()} that do not fit.", REMOVED, unique_ids=True),
        "rejected": Output(f"{what.title()} that no model can learn from.", REJECTED, True),
    }


def run_settings(method: str, config: StageConfig, withheld: Iterable[str] = ()) -> dict[str, Any]:
    """What a config tells the trainer; the paths of a run are not in it."""
    settings = config.model_dump(mode="json", exclude={"pool", *withheld})
    execution = sorted(config.execution().keys() & settings.keys())
    return {**settings, "execution": execution, "method": method}


@dataclass(frozen=True)
class GivenRows:
    """Rows to learn from that are no output of another stage.

    Attributes:
        files: Parquet files of them.
        rows: how many there are with those that were left out.
        removed, rejected: the tables of the latter.
    """

    files: list[str]
    rows: int
    removed: pa.Table
    rejected: pa.Table


def launch(
    method: str,
    config: TuningConfig,
    inputs: Inputs,
    out: Out,
    withheld: Iterable[str] = (),
    more: Mapping[str, Any] | None = None,
    given: GivenRows | None = None,
) -> dict[str, Any]:
    """Run the trainer; write model and tables; state the law. Returns the trainer's counts.

    Args:
        withheld: fields of the config that are not the trainer's.
        more: what it is told that is no field.
        given: rows in place of the input `examples`.
    """
    given = given or rows_of(inputs["examples"])
    results = out.scratch / "results"
    out.launch(
        "llm.alignment",
        {
            **run_settings(method, config, withheld),
            **(more or {}),
            "model": str(inputs["model"].folder()) if "model" in inputs else "",
            "examples": given.files,
            "output": str(out.folder("model")),
            "adopted": ADOPTED.get(),
            "results": str(results),
            "scratch": str(out.scratch / "checkpoints"),
        },
        checkpoint="checkpoints/checkpoint-*/complete.json",
    )
    left_out = {"removed": given.removed, "rejected": given.rejected}
    for file in sorted(results.glob("*.parquet")):
        with out.table(file.stem) as writer:
            if file.stem in left_out:
                writer.write(left_out[file.stem])
            writer.write(pq.read_table(file))
    counts: dict[str, Any] = json.loads((results / "counts.json").read_text(encoding="utf-8"))
    reasons = {
        name: Counter(counts[name]) + Counter(table.column("reason").to_pylist())
        for name, table in left_out.items()
    }
    out.conserve(
        given.rows,
        counts["used"],
        removed=dict(reasons["removed"]),
        rejected=dict(reasons["rejected"]),
    )
    for name in ("used", "removed", "rejected"):
        del counts[name]
    for name, value in counts.items():
        out.fact(name, value)
    return counts


def rows_of(*outputs: Data) -> GivenRows:
    """All rows of the outputs of other stages, one behind the other."""
    files = [file for output in outputs for file in local_files(output)]
    rows = sum(output.rows for output in outputs)
    return GivenRows(files, rows, REMOVED.empty_table(), REJECTED.empty_table())


def counts_panel(artifact: Artifact) -> Table:
    """What became of the rows."""
    totals, facts = artifact.manifest.totals, artifact.facts
    rows: list[list[Cell]] = [["in", totals.rows_in], ["used", totals.kept]]
    rows += [
        ["of these trained on", facts["train_rows"]],
        ["for validation", facts["validation_rows"]],
    ]
    rows += [[f"removed: {reason}", n] for reason, n in sorted(totals.removed.items())]
    rows += [[f"rejected: {reason}", n] for reason, n in sorted(totals.rejected.items())]
    if "truncated" in facts:
        rows.append(["longer than max_length", facts["truncated"]])
    rows += [["steps", facts["steps"]], ["precision", facts["precision"]]]
    return Table("Rows", ["", "count"], rows)


def curve_panels(artifact: Artifact, wanted: dict[str, dict[str, str]]) -> list[Panel]:
    """One curve a title: its series are metrics, by the label they are shown under."""
    points = metric_points(artifact)
    shown: list[Panel] = []
    for title, names in wanted.items():
        series = {label: points[name] for name, label in names.items() if name in points}
        if series:
            shown.append(Curve(title, "step", "", series))
    return shown
