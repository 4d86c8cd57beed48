"""The fields of `pretrain`: the model, and how it is trained."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from pydantic import Field, field_validator, model_validator

from llm.model.parametrisation_choice import STANDARD, Kind
from llm.training.run_file import (
    Device,
    Optimiser,
    Parallel,
    Precision,
    Recomputation,
    Schedule,
    Wandb,
)
from tasks.engine.config import StageConfig, added, execution
from tasks.stages.pretrain_data import MixtureSource
from tasks.stages.pretrain_size import sized


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
    mixture: list[MixtureSource] = added(
        [], "Sources and their shares of every batch; none = all rows in one shuffled order."
    )
    searched_mixture: bool = added(
        False, "Take the mixture that the stage mix proposes, and its limits, as `mixture`."
    )
    anneal: list[MixtureSource] = added(
        [], "The mixture of the last steps; none = the same mixture to the end."
    )
    anneal_share: float = added(0.2, "Share of the steps that `anneal` has.", gt=0.0, lt=1.0)
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
    outlier_sigmas: float = added(
        6.0,
        "Skip a step whose loss or gradient norm lies so many standard deviations above the mean "
        "of the last 128 steps; a run without such a step stays what it is. 0 = skip only what is "
        "not finite.",
        ge=0.0,
        le=1000.0,
    )
    parametrisation: Kind = added(
        "standard",
        "standard: GPT-2's first weights and one learning rate; mup: both scaled with width and "
        "depth, so that the rate found on a model of the base sizes is that of any other.",
    )
    mup_base_width: int = added(
        STANDARD.base_width,
        "Of mup: hidden_size at which learning_rate is right.",
        ge=16,
        le=65_536,
    )
    mup_base_layers: int = added(
        STANDARD.base_layers, "Of mup: layers at which it is right.", ge=1, le=512
    )
    mup_base_head_dim: int = added(
        STANDARD.base_head_dim, "Of mup: size of a head at which it is right.", ge=2, le=1024
    )
    zero_init: bool = added(
        False, "Start what writes to the residual stream (o_proj, down_proj) as zeros."
    )
    tasks_every: int = added(
        0,
        "Steps between measurements on tasks: two that are made from validation text, and those of "
        "`tasks`; 0 = none.",
        ge=0,
        le=10**9,
    )
    task_items: int = added(100, "Items of each of these tasks, the first ones.", ge=1, le=100_000)
    tasks: list[str] = execution(
        [],
        "Further tasks: files of settings as `evaluate` has them, multiple choice and minimal "
        "pairs.",
    )
    task_share: float = execution(
        0.05,
        "Of the operations of training, the share that tasks may take on top; a run that would "
        "take more is refused.",
        gt=0.0,
        le=10.0,
    )
    continue_from: str = execution(
        "",
        "What to continue from, of the same architecture and tokenizer: an artifact as "
        "pretrain.resumable@<build id> (its optimiser states too) or pretrain@<build id> (its "
        "weights), or the folder of one; empty = random weights.",
    )
    resumable: bool = execution(
        True,
        "Also publish what a later run continues from: weights and optimiser states before the "
        "decay, two to three times the size of the model.",
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
        "zero2, zero3 = shares by DeepSpeed (the extra `deepspeed`; AdamW only); "
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
        0, "Sequences per forward pass; 0 = as many as fit, which the first steps find out.", ge=0
    )
    checkpoint_seconds: float = execution(60.0, "Seconds between checkpoints.", ge=0.0)
    tensorboard: str = execution(
        "", "Folder for TensorBoard's event files, a subfolder a run; empty = none."
    )
    size: str = execution(
        "",
        "Size of the model, as nano, 124M or 1B, in place of the fields of its shape; also of "
        "tokens, batch_tokens, learning_rate and rope_theta where they are left out (`ingot size` "
        "shows to what). Empty = the fields say it.",
    )
    wandb: Wandb = execution(
        "off", "Whether Weights & Biases is told of the run, and whether it sends that at once."
    )
    wandb_project: str = execution("ingot", "Project of W&B.")
    wandb_folder: str = execution("", "Folder in which W&B makes its own; empty = the current one.")
    keep_checkpoints: int = execution(2, "Checkpoints kept: the newest ones.", ge=1, le=100)

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, record: Any) -> Any:
        """The fields that a size stands for."""
        if not isinstance(record, dict) or isinstance(record.get("size"), bool):
            return record
        if record.get("size", "") is None or isinstance(record.get("size"), int):
            # YAML takes digits for a number, and nothing for none.
            record = {**record, "size": "" if record["size"] is None else str(record["size"])}
        if not isinstance(record.get("size"), str) or not record["size"]:
            return record
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return sized(record, defaults)

    @field_validator("wandb", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """YAML 1.1 takes a plain `off` for false."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _tasks_are_asked(self) -> PretrainConfig:
        if self.tasks and not self.tasks_every:
            raise ValueError("tasks_every: 0 asks no tasks, and tasks names some; set it, too")
        return self

    @model_validator(mode="after")
    def _base_of_mup(self) -> PretrainConfig:
        """Sizes of the base say nothing without µP; who sets them forgot to ask for it."""
        bases = ("mup_base_width", "mup_base_layers", "mup_base_head_dim")
        fields = type(self).model_fields
        changed = [name for name in bases if getattr(self, name) != fields[name].default]
        if self.parametrisation == "standard" and changed:
            raise ValueError(f"{changed[0]}: only parametrisation mup has a base; set it, too")
        return self

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
        for field, entries in (("mixture", self.mixture), ("anneal", self.anneal)):
            counts = Counter(each.source for each in entries)
            twice = sorted(name for name, count in counts.items() if count > 1)
            if twice:
                raise ValueError(f"{field}: more than one for {', '.join(twice)}; keep one each")
        if self.searched_mixture and self.mixture:
            raise ValueError(
                "searched_mixture: there is a mixture too; leave out `mixture`, or set it to false"
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
