"""What an export is told: run.json as one frozen record."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


class ExportRunFileError(ValueError):
    """run.json lacks a key, or has one that means nothing."""


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
        ExportRunFileError: names the keys that are missing or unknown.
    """
    given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Run)}
    for kind, names in (("lacks", known - given.keys()), ("has unknown", given.keys() - known)):
        if names:
            raise ExportRunFileError(f"{path} {kind} {', '.join(sorted(names))}")
    folders = {name: Path(given[name]) for name in ("model", "folder", "scratch", "results")}
    return Run(**{**given, **folders, "prompts": tuple(given["prompts"])})
