"""What an export is told: run.json as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm.process.run_file import from_record, read_record

GgufType = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


@dataclass(frozen=True)
class Fact:
    """Something known of a model, by name."""

    name: str
    value: str


@dataclass(frozen=True)
class About:
    """What an exported file says of its model besides what can be computed from it.

    Attributes:
        name: for people.
        description: a sentence.
        license: of the weights; empty = not stated.
        data_licenses: of what it was trained on, as sources state them.
        sources: what it was trained on, by name.
        lineage: which stage made it, identities.
    """

    name: str
    description: str
    license: str
    data_licenses: tuple[str, ...]
    sources: tuple[str, ...]
    lineage: tuple[Fact, ...]


@dataclass(frozen=True)
class GgufRun:
    """GGUF files to be written.

    Attributes:
        types: one file each; none = nothing is written.
        folder: where they go.
        rows: tokens on which they are measured; none = the texts of the comparison.
    """

    types: tuple[GgufType, ...]
    folder: Path
    rows: tuple[tuple[int, ...], ...]
    about: About


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
        results: a folder for parity.parquet; gguf_parity.parquet where llama.cpp was asked.
    """

    model: Path
    folder: Path
    prompts: tuple[str, ...]
    new_tokens: int
    tolerance: float
    threads: int
    scratch: Path
    results: Path
    gguf: GgufRun


def read(path: Path) -> Run:
    """The run a file describes.

    Raises:
        RunFileError: see `llm.process.run_file`.
    """
    return from_record(Run, read_record(path), str(path))
