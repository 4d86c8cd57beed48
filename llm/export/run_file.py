"""What an export is told: run.json as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm.process.run_file import from_record, read_record


@dataclass(frozen=True)
class Run:
    """One export and its proof.

    Attributes:
        model: the folder to copy from; `folder`: to copy into.
        prompts: texts on which both implementations must agree.
        new_tokens: of the greedy continuation compared.
        tolerance: largest difference of logits allowed, relative to the largest logit.
        threads: of torch, in each process; 0 leaves it to torch.
        scratch: for what the other implementation computes.
        results: a folder for parity.parquet.
    """

    model: Path
    folder: Path
    prompts: tuple[str, ...]
    new_tokens: int
    tolerance: float
    threads: int
    scratch: Path
    results: Path


def read(path: Path) -> Run:
    """The run a file describes.

    Raises:
        RunFileError: see `llm.process.run_file`.
    """
    return from_record(Run, read_record(path), str(path))
