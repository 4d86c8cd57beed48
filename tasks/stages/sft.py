"""sft: the base model learns to answer, from instructions; the loss is on the answers alone."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from llm.alignment.methods.sft_run import Learn, Packing
from llm.tables import INSTRUCTION_ROWS
from tasks.engine.config import Part, added, execution
from tasks.engine.declare import Input
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.stages.alignment import (
    LIBRARIES,
    SAMPLES_SHOWN,
    AdaptersConfig,
    CutRowsConfig,
    counts_panel,
    curve_panels,
    launch,
    outputs,
    requirements,
)
from tasks.stages.sft_start import (
    START,
    revision,
    start_folder,
    start_name,
    start_snapshots,
    template_path,
)


class SourceWeightSpec(Part):
    """How often rows of some sources are drawn."""

    source: str = Field(
        description="Name of a source of examples: a file, or that of documents; * and ? stand for "
        "any letters, and the first that fits counts.",
        min_length=1,
        max_length=1_000,
    )
    weight: float = Field(
        description="Times a pass draws each of their rows: 2 = twice, 0.5 = every other one, 0 = "
        "none; which ones is a matter of seed.",
        ge=0.0,
        le=1_000.0,
    )


class SftConfig(CutRowsConfig, AdaptersConfig):
    """How the model is tuned on instructions."""

    epochs: int = Field(3, description="Passes over the rows.", ge=1, le=1_000)
    learning_rate: float = Field(
        3e-4,
        description="Highest learning rate; small models take 3e-4, large ones 2e-5.",
        gt=0.0,
        le=1.0,
    )
    learn: Learn = added(
        "all", "Of a conversation of several turns: all answers are learned, or the last alone."
    )
    packing: Packing = Field(
        "none",
        description="bfd: several rows are packed into one of max_length, best fit first, and do "
        "not see each other; batch_size then counts packed rows.",
    )
    start_from: str = execution(
        "",
        "Start from a model of yours, in place of pretrain's: a folder that save_pretrained wrote, "
        "or an id of the Hugging Face hub, ORGANISATION/MODEL or ORGANISATION/MODEL@REVISION; any "
        "causal model that transformers loads, with its own tokenizer and chat template.",
    )
    chat_template: str = execution(
        "",
        "With start_from: a Jinja file that is its chat template, for a model that has none.",
    )
    weights: list[SourceWeightSpec] = added(
        [], "How often a pass over the rows draws those of a source; all others once."
    )
    micro_batch_size: int = execution(
        0,
        "Rows per forward pass; must divide batch_size; 0 = the whole batch, one when packed.",
        ge=0,
        le=65_536,
    )

    @model_validator(mode="after")
    def _template_of_a_start(self) -> SftConfig:
        if self.chat_template and not self.start_from:
            raise ValueError(
                "chat_template: it belongs to a model named by start_from, and none is; pretrain's "
                "model has its own. Remove it, or name one"
            )
        return self


def externals(config: SftConfig) -> Mapping[str, Snapshot]:
    """The files of a model of others, and the chat template given with it."""
    return start_snapshots(config.start_from, config.chat_template)


def run(config: SftConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        TrainerError: it failed; names the guard (docs/stages/sft.md lists them).
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    more: dict[str, str] = {}
    if START in inputs.external:
        folder = start_folder(inputs.external)
        more = {"start_from": str(folder), "chat_template": template_path(inputs.external)}
        out.fact("start_from", start_name(config.start_from))
        out.fact("start_revision", revision(folder))
    counts = launch("sft", config, inputs, out, more=more)
    before, after = counts["validation_loss_before"], counts["validation_loss_after"]
    if before is not None:
        out.log(f"validation loss a completion token: {before:.4f} -> {after:.4f}")


def panels(artifact: Artifact) -> list[Panel]:
    """What was learned from, the loss, and rows as the model saw them."""
    facts = artifact.facts
    learned = Table(
        "Learning",
        ["", "value"],
        [
            ["tokens of train rows", facts["train_tokens"]],
            ["of these supervised", facts["supervised_tokens"]],
            ["validation supervised tokens", facts["validation_tokens"]],
            ["validation loss before", facts["validation_loss_before"]],
            ["validation loss after", facts["validation_loss_after"]],
        ],
        "Loss: nats a supervised token.",
    )
    sources: list[list[Cell]] = [
        [row[name] for name in ("source", "rows", "weight", "drawn")]
        for row in facts.get("sources", ())
    ]
    note = "Rows of split train, and how many of them a pass draws."
    columns = ["source", "rows", "weight", "drawn a pass"]
    weighed: list[Panel] = [Table("Sources", columns, sources, note)] if sources else []
    loss = {"loss": "train", "validation/completion_loss": "validation"}
    curves = curve_panels(
        artifact,
        {"Loss": loss, "Learning rate": {"learning_rate": "learning rate"}},
    )
    return [counts_panel(artifact), learned, *weighed, *curves, _samples(artifact)]


def _samples(artifact: Artifact) -> Samples:
    rows = artifact.data("examples").table().slice(0, SAMPLES_SHOWN).to_pylist()
    items = [
        Sample(
            row["doc_id"],
            row["prompt"] + row["completion"],
            {
                "split": row["split"],
                "tokens": len(row["tokens"]),
                "supervised": sum(row["supervised"]),
                "cut": row["truncated"],
            },
        )
        for row in rows
    ]
    return Samples("Rows as the model sees them", items)


STAGE = Stage(
    name="sft",
    version=3,
    description="Tunes the model on instructions, the loss on the answers alone.",
    config=SftConfig,
    inputs={
        "model": Input(("pretrain.model",), "The model to start from.", instead="start_from"),
        "examples": Input(("examples.instructions",), "Instructions with their split."),
    },
    outputs=outputs("rows", INSTRUCTION_ROWS, {}),
    run=run,
    panels=panels,
    externals=externals,
    requires=requirements("sft", "instructions", "instruction_files", "max_instructions"),
    reproducible=False,
    libraries=LIBRARIES,
    code=("llm.alignment.__main__", "llm.alignment.methods.sft"),
    makes_model="sft",
)
