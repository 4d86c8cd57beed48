"""What a training run is: `run.json`, parsed and checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from llm.model.architecture import Architecture


class RunFileError(ValueError):
    """A run file is not what it should be; names the file and the field."""


@dataclass(frozen=True)
class Places:
    """Folders and files of a run. They decide nothing.

    Attributes:
        sequences: folder with the Parquet parts of `pack.sequences`.
        tokenizer: folder of the tokenizer the sequences were made with.
        start: model folder whose weights training starts from; empty = fresh weights.
        scratch: token files, checkpoints and the compiler's cache; kept between starts.
        model: where the finished model goes.
        metrics: Parquet file for (step, name, value).
        result: JSON file with what the run was like (steps, tokens a second).
    """

    sequences: str
    tokenizer: str
    start: str
    scratch: str
    model: str
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
        precision: "bf16" (autocast, weights in float32) or "fp32".
        validate_every: steps between measurements on validation rows.
        validation_rows: how many validation sequences are measured.
        seed: of first weights and order of the data.
    """

    steps: int
    batch_rows: int
    optimiser: str
    learning_rate: float
    schedule: str
    warmup_steps: int
    decay_share: float
    final_share: float
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    z_loss: float
    document_mask: bool
    precision: str
    validate_every: int
    validation_rows: int
    seed: int


@dataclass(frozen=True)
class Execution:
    """How to run it on this machine.

    Attributes:
        device: "auto", "cpu", "cuda" or "mps".
        threads: of the CPU; 0 = PyTorch's choice.
        compile: whether blocks are compiled.
        micro_batch_rows: sequences at once; 0 = all, halved where memory does not suffice.
        checkpoint_seconds: between checkpoints.
    """

    device: str
    threads: int
    compile: bool
    micro_batch_rows: int
    checkpoint_seconds: float


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        data_id: of the sequences.
    """

    data_id: str
    places: Places
    architecture: Architecture
    optimisation: Optimisation
    execution: Execution

    @property
    def digest(self) -> str:
        """Identity of what is computed: a checkpoint of another digest is never gone on from."""
        decides = {
            "data_id": self.data_id,
            "architecture": asdict(self.architecture),
            "optimisation": asdict(self.optimisation),
            "start": _weights_digest(self.places.start),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Run:
    """Parse a run file.

    Raises:
        RunFileError: it cannot be read, or a field is missing, unknown or of the wrong type.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path}: no readable run file: {error}") from error
    parts = {
        "places": Places,
        "architecture": Architecture,
        "optimisation": Optimisation,
        "execution": Execution,
    }
    if not isinstance(record, dict):
        raise RunFileError(f"{path}: must be an object, found {record!r}")
    _check_names(path, "", record, {"data_id", *parts})
    if not isinstance(record["data_id"], str):
        raise RunFileError(f"{path}: data_id must be str, found {record['data_id']!r}")
    made: dict[str, Any] = {name: _made(path, name, kind, record) for name, kind in parts.items()}
    return Run(data_id=record["data_id"], **made)


def _made(path: Path, name: str, kind: type[Any], record: dict[str, Any]) -> Any:
    values = record[name]
    if not isinstance(values, dict):
        raise RunFileError(f"{path}: {name} must be an object, found {values!r}")
    types = {field.name: str(field.type) for field in fields(kind)}
    _check_names(path, f"{name}.", values, set(types))
    accepted: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str}
    for field, value in values.items():
        wanted = types[field]
        is_flag = isinstance(value, bool)
        if not isinstance(value, accepted[wanted]) or is_flag != (wanted == "bool"):
            raise RunFileError(f"{path}: {name}.{field} must be {wanted}, found {value!r}")
    return kind(**values)


def _check_names(path: Path, where: str, record: dict[str, Any], known: set[str]) -> None:
    for name in sorted(set(record) - known):
        raise RunFileError(f"{path}: no such field: {where}{name}")
    for name in sorted(known - set(record)):
        raise RunFileError(f"{path}: missing field: {where}{name}")


def _weights_digest(folder: str) -> str:
    if not folder:
        return ""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        with (Path(folder) / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
