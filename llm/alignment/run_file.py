"""What one alignment run is told: `run.json`, parsed and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from llm.process.run_file import RunFileError, from_record, read_record
from llm.sha256 import sha256_file
from llm.training.run_file import CudaOrCpu, Precision

Schedule = Literal["constant", "linear", "cosine"]
LongRows = Literal["cut", "remove"]


@dataclass(frozen=True)
class Run:
    """What every method needs; what one needs besides is in `methods/<method>_run.py`.

    Attributes:
        model: folder of the starting model, its tokenizer in it.
        examples: Parquet files, in order.
        output: folder the model is written to.
        results: folder the tables and the counts are written to.
        scratch: folder of checkpoints.
        batch_size: rows a step; micro_batch_size: rows a forward pass, 0 = all of them.
        warmup_share: share of the steps in which the learning rate rises.
        max_length: tokens of a row, 0 = the model's context.
        score_tokens: of a forward pass over rows that are only scored, padding included.
        precision: "fp32", "bf16" = autocast over float32 weights, or "auto": bf16 where the
            device multiplies it.
        device: "cpu", "cuda" or "auto"; threads: 0 = the number that is fastest.
        checkpoint_seconds: a checkpoint at the first step this long after the last one.
        adopted: folder of the model that another program made of it: it is scored and kept instead
            of one trained here; "" = none.
        execution: names of the settings that say how to run, not what: with another value of
            theirs a run resumes from the same checkpoint.
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
    schedule: Schedule
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    gradient_clip: float
    max_length: int
    precision: Precision
    seed: int
    device: CudaOrCpu
    threads: int
    score_tokens: int
    checkpoint_seconds: float
    adopted: str
    execution: tuple[str, ...]

    @property
    def model_folders(self) -> tuple[str, ...]:
        """Fields that name folders of models; an empty one names none."""
        return ("model",)

    @property
    def packed(self) -> bool:
        """Whether several rows share one of `max_length`."""
        return False

    @property
    def lora(self) -> Lora | None:
        """The adapters that are trained; none = the model itself is."""
        return None

    def axolotl(self) -> dict[str, Any] | None:
        """What Axolotl's config says of this method alone, its rows under "rows"; none where
        Axolotl is not handed it."""
        return None

    @property
    def cut(self) -> bool:
        """Whether longer rows lose their end; otherwise they are left out."""
        return False


@dataclass(frozen=True)
class Lora:
    """Adapters that are trained in place of a model's matrices.

    Attributes:
        rank: of an adapter; alpha: its product is scaled by alpha / rank.
        dropout: share of an adapter's inputs that are left out in training.
        targets: last parts of the names of the matrices, or "all-linear".
    """

    rank: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]


@dataclass(frozen=True)
class CutRun(Run):
    """A run over rows that may be cut.

    Attributes:
        long_rows: what becomes of rows longer than `max_length`, "cut" or "remove".
        max_truncated: share of all rows that may be cut.
    """

    long_rows: LongRows
    max_truncated: float

    @property
    def cut(self) -> bool:
        """Whether longer rows lose their end; otherwise they are left out."""
        return self.long_rows == "cut"


@dataclass(frozen=True)
class AdaptedRun(CutRun):
    """A run that may train adapters alone.

    Attributes:
        lora_rank: 0 = the model itself is trained; the others are those of `Lora`.
    """

    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    lora_targets: tuple[str, ...]

    @property
    def lora(self) -> Lora | None:
        """The adapters, if some are asked for."""
        if not self.lora_rank:
            return None
        return Lora(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_targets)


_METHODS = Path(__file__).with_name("methods")
# Where the files of a run lie is no part of what it computes.
_PATHS = ("output", "results", "scratch")


def methods() -> list[str]:
    """Names of the methods there are: each has a `<name>_run.py`, which says what it is told, and a
    `<name>.py`, which trains."""
    return sorted(path.name.removesuffix("_run.py") for path in _METHODS.glob("*_run.py"))


def run_kind(method: str) -> type[Run]:
    """What a run of a method is told."""
    kind: type[Run] = import_module(f"llm.alignment.methods.{method}_run").RUN
    return kind


def read_run(path: Path) -> Run:
    """Parse a run file.

    Raises:
        RunFileError: not JSON, an unknown or missing key, a value of another type or range.
    """
    return parse_run(read_record(path), str(path))


def parse_run(record: dict[str, Any], where: str) -> Run:
    """The same from the parsed JSON; `where` names it in errors."""
    method = record.get("method")
    known = methods()
    if method not in known:
        raise RunFileError(f"{where}: method is {method!r}; it is one of {', '.join(known)}")
    run = from_record(run_kind(method), record, where)
    for name in run.execution:
        if name not in record or name in (*_PATHS, "execution"):
            raise RunFileError(f"{where}: execution names {name!r}, which is no setting")
    micro = run.micro_batch_size or run.batch_size
    if run.batch_size % micro:
        raise RunFileError(
            f"{where}: micro_batch_size {micro} does not divide batch_size {run.batch_size}"
        )
    return run


def run_digest(run: Run) -> str:
    """sha256 of what decides the result: a checkpoint of one digest serves no other.

    Models and examples count by content, not by where they lie.
    """
    record: dict[str, Any] = asdict(run)
    for name in {"execution", *_PATHS, *run.execution}:
        del record[name]
    if run.adopted:
        weights = sorted(Path(run.adopted).glob("*.safetensors"))
        record["adopted"] = {path.name: sha256_file(path) for path in weights}
    return content_digest(record, run.model_folders)


def content_digest(record: dict[str, Any], model_folders: Iterable[str]) -> str:
    """sha256 of settings; the files of `examples`, and of the folders that the fields named hold,
    count by content."""
    record = dict(record)
    for name in model_folders:
        files = sorted(Path(record[name]).iterdir()) if record[name] else []
        record[name] = {path.name: sha256_file(path) for path in files}
    record["examples"] = [sha256_file(Path(path)) for path in record["examples"]]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
