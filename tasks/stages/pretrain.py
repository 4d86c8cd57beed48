"""pretrain: a transformer learns to predict the next token of the packed sequences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from llm.model.architecture import Architecture
from llm.tables import METRICS, TRAIN
from llm.tokens.hf_folder import load_tokenizer
from llm.training.run_file import (
    Device,
    Execution,
    Optimiser,
    Parallel,
    Precision,
    Recomputation,
    Schedule,
)
from tasks.engine.config import StageConfig, execution
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.errors import IngotError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.ranks import Ranks
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Curve, Panel, Table
from tasks.stages.metrics import metric_points
from tasks.stages.pretrain_start import other_architecture, start_folder, start_snapshot


class UntrainableError(IngotError):
    """The sequences and the configuration do not make a run."""


class PretrainConfig(StageConfig):
    """The model, and how it is trained."""

    hidden_size: int = Field(768, description="Width of the residual stream.", ge=16, le=65_536)
    layers: int = Field(16, description="Blocks.", ge=1, le=512)
    heads: int = Field(6, description="Query heads.", ge=1, le=512)
    key_value_heads: int = Field(
        2, description="Key and value heads; must divide heads (grouped-query attention).", ge=1
    )
    head_dim: int = Field(
        0, description="Size of a head, even; 0 = hidden_size / heads.", ge=0, le=1024
    )
    intermediate_size: int = Field(
        0, description="Width inside the MLP; 0 = 8/3 of hidden_size, rounded up to 64.", ge=0
    )
    qk_norm: bool = Field(
        True, description="Normalise queries and keys: a Qwen3; without, a Llama."
    )
    tied_embeddings: bool = Field(
        True, description="Use the embedding as output matrix; recommended below 500 M parameters."
    )
    rope_theta: float = Field(10_000.0, description="Base of the rotary angles.", gt=1.0)
    tokens: int = Field(
        0, description="Training tokens in all, repeats included; 0 = one pass over the data.", ge=0
    )
    batch_tokens: int = Field(65_536, description="Tokens per optimiser step.", ge=16)
    optimiser: Optimiser = Field(
        "muon", description="muon: for matrices of the blocks; AdamW for the rest."
    )
    learning_rate: float = Field(3e-3, description="At its peak.", gt=0.0, le=1.0)
    schedule: Schedule = Field("wsd", description="Cosine, or warm-up, stable, then linear decay.")
    warmup_share: float = Field(
        0.02, description="Share of the steps in which the learning rate rises.", ge=0.0, le=0.9
    )
    decay_share: float = Field(
        0.4, description="Share of the steps in which wsd decays.", gt=0.0, le=1.0
    )
    final_share: float = Field(
        0.0, description="Share of the peak learning rate left at the end.", ge=0.0, le=1.0
    )
    weight_decay: float = Field(
        0.1, description="Decoupled; on matrices of the blocks only.", ge=0.0, le=1.0
    )
    adam_beta1: float = Field(0.9, description="AdamW's decay of the mean.", ge=0.0, lt=1.0)
    adam_beta2: float = Field(0.95, description="AdamW's decay of the variance.", ge=0.0, lt=1.0)
    gradient_clip: float = Field(1.0, description="Largest gradient norm; 0 = none.", ge=0.0)
    z_loss: float = Field(
        0.0, description="Weight of the squared log-partition; 1e-5 steadies long runs.", ge=0.0
    )
    document_mask: bool = Field(
        False, description="Whether tokens see only the document they are in."
    )
    precision: Precision = Field(
        "auto",
        description="bf16: matrix products in bfloat16, weights and sums in float32; auto: bf16 "
        "where the device supports it, else fp32.",
    )
    validate_every: int = Field(
        100, description="Steps between measurements on validation sequences.", ge=1
    )
    validation_rows: int = Field(
        128, description="Validation sequences measured; 0 = none.", ge=0, le=1_000_000
    )
    seed: int = Field(
        0, description="Random seed of first weights and order of sequences.", ge=0, le=2**63 - 1
    )
    continue_from: str = execution(
        "",
        "Folder of a model to continue from, of the same architecture and tokenizer; "
        "empty = random weights.",
    )
    device: Device = execution("auto", "Where to train; auto takes a GPU if there is one.")
    processes: int = execution(
        1, "Processes on each node, one per GPU, started by torchrun.", ge=1, le=1024
    )
    nodes: int = execution(
        1,
        "Machines. The others, which need the same home folder, are started by hand with the "
        "command that is shown.",
        ge=1,
        le=1024,
    )
    rendezvous: str = execution(
        "", "host:port of this machine that other nodes reach; needed where there are some."
    )
    parallel: Parallel = execution(
        "auto",
        "Of several processes: ddp = each has the whole model; fsdp = each has a share of it; "
        "auto = ddp where the model fits on a GPU, else fsdp; single = one process.",
    )
    activation_checkpointing: Recomputation = execution(
        "none",
        "What of a block is recomputed backwards to save memory: nothing, what is cheap "
        "(selective), or all (full).",
    )
    rendezvous_seconds: float = execution(
        300.0, "Seconds that processes wait for each other at the start.", gt=0.0, le=86_400.0
    )
    threads: int = execution(0, "CPU threads; 0 = whichever number is fastest.", ge=0, le=1024)
    compile: bool = execution(True, "Compile the blocks where possible.")
    micro_batch_rows: int = execution(
        0, "Sequences per forward pass; 0 = all, halved where memory does not suffice.", ge=0
    )
    checkpoint_seconds: float = execution(60.0, "Seconds between checkpoints.", ge=0.0)

    @model_validator(mode="after")
    def _heads_fit(self) -> PretrainConfig:
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"key_value_heads: {self.key_value_heads} does not divide heads {self.heads}"
            )
        if not self.head_dim and self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: {self.heads} heads do not cut hidden_size {self.hidden_size} into equal "
                "even parts; change one of them, or set head_dim"
            )
        if not self.qk_norm and self.hidden_size % self.heads:
            raise ValueError(
                f"qk_norm: without it the model is a Llama, and transformers loads none whose "
                f"hidden_size ({self.hidden_size}) is no multiple of its heads ({self.heads}), "
                "whatever head_dim: tuning and export would fail. Leave qk_norm on, or change "
                "one of the two"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim: {self.head_dim} is odd; rotary positions need pairs")
        if self.parallel == "single" and self.processes * self.nodes > 1:
            raise ValueError(
                f"parallel: single is one process; processes and nodes make it "
                f"{self.processes * self.nodes}"
            )
        if self.nodes > 1 and not re.fullmatch(r"\S+:[0-9]{1,5}", self.rendezvous):
            raise ValueError(
                f"rendezvous: {self.nodes} nodes meet at a host:port, found {self.rendezvous!r}"
            )
        return self


def externals(config: PretrainConfig) -> Mapping[str, Snapshot]:
    """The files of the model to go on from, if one is named."""
    return start_snapshot(config.continue_from)


def _same_architecture(config: PretrainConfig, context: int) -> Iterator[str]:
    if config.continue_from:
        wanted = {
            "hidden_size": ("hidden_size", config.hidden_size),
            "num_hidden_layers": ("layers", config.layers),
            "num_attention_heads": ("heads", config.heads),
            "num_key_value_heads": ("key_value_heads", config.key_value_heads),
            "max_position_embeddings": ("pack.sequence_length", context),
            "tie_word_embeddings": ("tied_embeddings", config.tied_embeddings),
        }
        yield from other_architecture(config.continue_from, wanted)


def run(config: PretrainConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        UntrainableError: there are no training sequences.
        ExternalInputError: the model to go on from has another tokenizer.
        TrainerError: training failed; the message is the trainer's own.
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    sequences = inputs["sequences"]
    length = _sequence_length(sequences)
    tokenizer = inputs["tokenizer"].folder()
    train_rows = _train_rows(sequences)
    if not train_rows:
        raise UntrainableError("pretrain: all sequences are validation; look at dedup's split")
    rows = max(1, config.batch_tokens // length)
    tokens = config.tokens or train_rows * length
    steps = max(1, round(tokens / (rows * length)))
    architecture = _architecture(config, load_tokenizer(tokenizer).get_vocab_size(), length)
    results = out.scratch / "results"
    results.mkdir(parents=True, exist_ok=True)
    paths = {
        "sequences": str(sequences.folder()),
        "tokenizer": str(tokenizer),
        "start": start_folder(inputs, tokenizer),
        "scratch": str(out.scratch),
        "model": str(out.folder("model")),
        "metrics": str(results / "metrics.parquet"),
        "result": str(results / "result.json"),
    }
    record = {
        "data_id": sequences.data_id,
        "paths": paths,
        "architecture": asdict(architecture),
        "optimisation": _optimisation(config, steps, rows),
        "execution": {field.name: getattr(config, field.name) for field in fields(Execution)},
    }
    whole = "checkpoints/step-????????/state.json"
    ranks = Ranks(config.processes, config.nodes, config.rendezvous, config.rendezvous_seconds)
    out.launch("llm.training", record, ranks=ranks, checkpoint=whole)
    with out.table("metrics") as writer:
        writer.write(pq.read_table(paths["metrics"], schema=METRICS))
    out.fact("training", json.loads(Path(paths["result"]).read_text(encoding="utf-8")))


def _optimisation(config: PretrainConfig, steps: int, rows: int) -> dict[str, Any]:
    return {
        "steps": steps,
        "batch_rows": rows,
        "optimiser": config.optimiser,
        "learning_rate": config.learning_rate,
        "schedule": config.schedule,
        "warmup_steps": round(steps * config.warmup_share),
        "decay_share": config.decay_share,
        "final_share": config.final_share,
        "weight_decay": config.weight_decay,
        "beta1": config.adam_beta1,
        "beta2": config.adam_beta2,
        "clip": config.gradient_clip,
        "z_loss": config.z_loss,
        "document_mask": config.document_mask,
        "precision": config.precision,
        "validate_every": config.validate_every,
        "validation_rows": config.validation_rows,
        "seed": config.seed,
    }


def _architecture(config: PretrainConfig, vocabulary_size: int, length: int) -> Architecture:
    return Architecture(
        vocabulary_size=vocabulary_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size or -(-config.hidden_size * 8 // 192) * 64,
        layers=config.layers,
        heads=config.heads,
        key_value_heads=config.key_value_heads,
        head_dim=config.head_dim or config.hidden_size // config.heads,
        context=length,
        rope_theta=config.rope_theta,
        norm_eps=1e-6,
        qk_norm=config.qk_norm,
        tied=config.tied_embeddings,
    )


def _sequence_length(sequences: Data) -> int:
    for table in sequences.tables(columns=["tokens"]):
        if table.num_rows:
            return len(table.column("tokens")[0]) - 1
    raise UntrainableError("pretrain: pack.sequences is empty; look at `ingot removed pack`")


def _train_rows(sequences: Data) -> int:
    return sum(
        table.column("split").to_pylist().count(TRAIN)
        for table in sequences.tables(columns=["split"])
    )


def panels(artifact: Artifact) -> list[Panel]:
    """The run in figures, and its curves."""
    points = metric_points(artifact)
    training = artifact.facts["training"]
    shown: list[Panel] = [
        Table("Training", ["", "value"], [[name, value] for name, value in training.items()])
    ]
    losses = {"train": points["loss"], "validation": points.get("validation_loss", [])}
    shown.append(
        Curve(
            "Loss",
            "step",
            "nats a token",
            {name: series for name, series in losses.items() if series},
        )
    )
    if "validation_bits_per_byte" in points:
        curve = {"validation": points["validation_bits_per_byte"]}
        shown.append(Curve("Bits per byte", "step", "bits per byte", curve))
    for name, title in (("learning_rate", "Learning rate"), ("gradient_norm", "Gradient norm")):
        shown.append(Curve(title, "step", "", {title.lower(): points[name]}))
    return shown


STAGE = Stage(
    name="pretrain",
    version=2,
    description="Trains a transformer to predict the next token.",
    config=PretrainConfig,
    inputs={
        "sequences": Input(("pack.sequences",), "Rows of tokens."),
        "tokenizer": Input(("tokenizer.tokenizer",), "The tokenizer they were made with."),
    },
    outputs={
        "model": Output("The base model, a Hugging Face folder."),
        "metrics": Output(
            "Loss, gradient norm and learning rate of every step; validation.", METRICS
        ),
    },
    run=run,
    panels=panels,
    requires=(Requirement(("pack.sequence_length",), _same_architecture),),
    externals=externals,
    reproducible=False,
    libraries=("torch", "numpy", "safetensors"),
    code=("llm.training.__main__",),
    makes_model="base",
)
