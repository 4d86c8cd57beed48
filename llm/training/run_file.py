"""What a training run is: `run.json`, parsed and checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from llm.model.architecture import Architecture
from llm.model.config_file import tokenizer_digest
from llm.model.parametrisation_choice import Parametrisation
from llm.process.run_file import from_record, read_record
from llm.sha256 import sha256_file
from llm.training.mixture import Phase

Optimiser = Literal["adamw", "muon"]
Schedule = Literal["cosine", "wsd"]
Precision = Literal["auto", "bf16", "fp32"]
Parallel = Literal["auto", "single", "ddp", "fsdp", "zero2", "zero3"]
Recomputation = Literal["none", "selective", "full"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Wandb = Literal["off", "offline", "online"]
# Of tuning and evaluation.
CudaOrCpu = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Paths:
    """Folders and files of a run. They decide nothing.

    Attributes:
        sequences: folder with the Parquet parts of `pack.sequences`.
        tokenizer: folder of the tokenizer the sequences were made with.
        start: model folder whose weights training starts from, and whose optimiser states, where
            it has some; empty = fresh weights.
        tokens: where sequences are unpacked; runs over the same ones may share it.
        scratch: checkpoints and the compiler's cache; kept between starts.
        model: where the finished model goes.
        resumable: where what further training goes on from does; empty = nowhere.
        metrics: Parquet file for (step, name, value).
        result: JSON file with what the run was like (steps, tokens a second).
    """

    sequences: str
    tokenizer: str
    start: str
    tokens: str
    scratch: str
    model: str
    resumable: str
    metrics: str
    result: str


@dataclass(frozen=True)
class Optimisation:
    """What decides the weights, beside architecture and data.

    Attributes:
        steps: optimiser steps.
        batch_rows: sequences a step, over all processes.
        optimiser: "adamw", or "muon" (matrices of the blocks by Muon, the rest by AdamW).
        learning_rate: at its peak; Muon's is scaled to AdamW's (`match_rms_adamw`).
        schedule: "cosine" or "wsd" (warm-up, stable, linear decay).
        warmup_steps: of linear warm-up.
        decay_share: share of the steps in which wsd decays.
        final_share: of the peak learning rate that is left at the end.
        weight_decay: decoupled; on matrices of the blocks only.
        clip: largest gradient norm; 0 = no clipping.
        z_loss: weight of the squared log-partition term (PaLM); 0 = off.
        document_mask: whether tokens see only their own document.
        precision: "bf16" (autocast, weights in float32), "fp32", or "auto": bf16 where the device
            multiplies it.
        validate_every: steps between measurements on validation rows.
        validation_rows: how many validation sequences are measured.
        seed: of first weights and order of the data.
        outlier_sigmas: standard deviations above the mean of the last steps from which one whose
            loss or gradient norm is there is skipped; 0 = only what is not finite.
        parametrisation: of first weights, and of the rate each of them has.
    """

    steps: int
    batch_rows: int
    optimiser: Optimiser
    learning_rate: float
    schedule: Schedule
    warmup_steps: int
    decay_share: float
    final_share: float
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    z_loss: float
    document_mask: bool
    precision: Precision
    validate_every: int
    validation_rows: int
    seed: int
    outlier_sigmas: float
    parametrisation: Parametrisation

    def as_record(self) -> dict[str, Any]:
        """As JSON values; without a parametrisation that changes nothing, so that states written
        before there was a choice stay those of the same run."""
        record = asdict(self)
        if self.parametrisation.neutral:
            del record["parametrisation"]
        return record


@dataclass(frozen=True)
class Execution:
    """How to run it on this machine.

    Attributes:
        device: "auto", "cpu", "cuda" or "mps".
        threads: of the CPU; 0 = the number with which steps are fastest.
        compile: whether blocks are compiled.
        micro_batch_rows: sequences at once; 0 = as many as fit, which is measured.
        checkpoint_seconds: between checkpoints.
        keep_checkpoints: how many of the newest stay.
        parallel: "single" (one process), "ddp" (several, each with the whole model), "fsdp" (each
            with a share of it), "zero2" or "zero3" (shares by DeepSpeed), or "auto": ddp where the
            model fits on a GPU, else fsdp.
        activation_checkpointing: what of a block is computed again for the backward pass, to save
            memory: "none", "selective" (what is cheap) or "full".
        rendezvous_seconds: that processes wait for each other at the start.
        tensorboard: folder for event files; empty = none.
        wandb: "off", "offline" or "online".
        wandb_project: name of the project there.
        wandb_folder: where W&B keeps what it is told.
    """

    device: Device
    threads: int
    compile: bool
    micro_batch_rows: int
    checkpoint_seconds: float
    keep_checkpoints: int
    parallel: Parallel
    activation_checkpointing: Recomputation
    rendezvous_seconds: float
    tensorboard: str
    wandb: Wandb
    wandb_project: str
    wandb_folder: str


@dataclass(frozen=True)
class Tasks:
    """What a run is measured on as it goes, beside validation rows.

    Attributes:
        every: steps between measurements, and at the end; 0 = none.
        items: file of `task_items.TASK_ITEMS`.
    """

    every: int
    items: str


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        data_id: of the sequences.
        phases: what sources give, up to the last step; none = all rows in one shuffled order.
    """

    data_id: str
    paths: Paths
    architecture: Architecture
    optimisation: Optimisation
    execution: Execution
    phases: tuple[Phase, ...]
    tasks: Tasks

    def identity(self) -> dict[str, Any]:
        """What is computed, as JSON values; a checkpoint of another identity is never gone on from.
        Reads the starting weights."""
        decides: dict[str, Any] = {
            "data_id": self.data_id,
            "tokenizer": tokenizer_digest(Path(self.paths.tokenizer)),
            "architecture": asdict(self.architecture),
            "optimisation": self.optimisation.as_record(),
            "start": _weights_digest(self.paths.start),
        }
        if self.phases:
            decides["phases"] = [asdict(phase) for phase in self.phases]
        if self.tasks.every:  # its figures are in the metrics that a checkpoint holds
            digest = sha256_file(Path(self.tasks.items))
            decides["tasks"] = {"every": self.tasks.every, "items": digest}
        found: dict[str, Any] = json.loads(json.dumps(decides))  # as a checkpoint gives it back
        return found


def read(path: Path) -> Run:
    """Parse a run file.

    Raises:
        RunFileError: it cannot be read, or a field is missing, unknown or of the wrong type.
    """
    return from_record(Run, read_record(path), str(path))


def _weights_digest(folder: str) -> str:
    if not folder:
        return ""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors", "resumable.json"):
        if name != "resumable.json" or (Path(folder) / name).exists():
            digest.update(bytes.fromhex(sha256_file(Path(folder) / name)))
    return digest.hexdigest()
