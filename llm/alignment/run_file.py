"""What one alignment run is told: `run.json`, parsed and checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm.process.run_file import RunFileError, made, read_record
from llm.sha256 import sha256_file


@dataclass(frozen=True)
class Run:
    """What both methods need.

    Attributes:
        model: folder of the starting model, its tokenizer in it.
        examples: Parquet files, in order.
        output: folder the model is written to.
        results: folder the tables and the counts are written to.
        scratch: folder of checkpoints.
        batch_size: rows a step; micro_batch_size: rows a forward pass, 0 = all of them.
        warmup_share: share of the steps in which the learning rate rises.
        max_length: tokens of a row, 0 = the model's context.
        long_rows: what becomes of longer ones, "cut" or "remove"; most_truncated: the share of
            all rows that may be cut.
        score_tokens: of a forward pass over held-out rows, padding included.
        precision: "fp32", "bf16" = autocast over float32 weights, or "auto": bf16 where the
            device multiplies it.
        device: "cpu", "cuda" or "auto"; threads: 0 = the number that is fastest.
        checkpoint_seconds: a checkpoint at the first step this long after the last one.
    """

    method: str
    model: str
    examples: list[str]
    output: str
    results: str
    scratch: str
    epochs: int
    learning_rate: float
    batch_size: int
    micro_batch_size: int
    warmup_share: float
    schedule: str
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    gradient_clip: float
    max_length: int
    long_rows: str
    most_truncated: float
    precision: str
    seed: int
    device: str
    threads: int
    score_tokens: int
    checkpoint_seconds: float


@dataclass(frozen=True)
class SftRun(Run):
    """Supervised fine-tuning.

    Attributes:
        packing: "bfd" = several rows, each seeing itself alone, in one of `max_length`; "none".
    """

    packing: str


@dataclass(frozen=True)
class DpoRun(Run):
    """Direct preference optimisation (Rafailov et al. 2023).

    Attributes:
        beta: strength of the tie to the starting model.
        sft_weight: weight of the chosen answers' negative log-likelihood; 0 = without.
    """

    beta: float
    sft_weight: float


_METHODS: dict[str, type[SftRun] | type[DpoRun]] = {"sft": SftRun, "dpo": DpoRun}
_CHOICES = {
    "schedule": ("constant", "linear", "cosine"),
    "precision": ("auto", "fp32", "bf16"),
    "device": ("auto", "cpu", "cuda"),
    "packing": ("none", "bfd"),
    "long_rows": ("cut", "remove"),
}
# Where and how, not what: another of these goes on from the same checkpoint.
_EXECUTION = {
    "sft": (
        "output",
        "results",
        "scratch",
        "device",
        "threads",
        "micro_batch_size",
        "score_tokens",
        "checkpoint_seconds",
    ),
    "dpo": (
        "output",
        "results",
        "scratch",
        "device",
        "threads",
        "score_tokens",
        "checkpoint_seconds",
    ),
}


def read_run(path: Path) -> SftRun | DpoRun:
    """Parse a run file.

    Raises:
        RunFileError: not JSON, an unknown or missing key, a value of another type or range.
    """
    return parse_run(read_record(path), str(path))


def parse_run(record: dict[str, Any], where: str) -> SftRun | DpoRun:
    """The same from the parsed JSON; `where` names it in errors."""
    method = record.get("method")
    if method not in _METHODS:
        raise RunFileError(f"{where}: method is {method!r}; it is one of {', '.join(_METHODS)}")
    run = made(_METHODS[method], record, where, _CHOICES)
    micro = run.micro_batch_size or run.batch_size
    if run.batch_size % micro:
        raise RunFileError(
            f"{where}: micro_batch_size {micro} does not divide batch_size {run.batch_size}"
        )
    return run


def run_digest(run: Run) -> str:
    """sha256 of what decides the result: a checkpoint of one digest serves no other.

    Model and examples count by content, not by where they lie.
    """
    record: dict[str, Any] = asdict(run)
    for name in _EXECUTION[run.method]:
        del record[name]
    model = Path(run.model)
    record["model"] = {path.name: sha256_file(path) for path in sorted(model.iterdir())}
    record["examples"] = [sha256_file(Path(path)) for path in run.examples]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
