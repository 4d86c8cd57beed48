"""What a stage writes into run.json is what the module it launches reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm.alignment.run_file import read_run
from llm.evaluation import run_file as evaluation
from llm.evaluation.judge import run_file as judge
from llm.export import run_file as export
from llm.sampled_pairs import run_file as sampled_pairs
from tasks.engine.identity.snapshot import Snapshot
from tasks.registry import STAGES


class LaunchedError(Exception):
    """The stage has said what it would launch."""


class Kept:
    """Stands for `Out`: keeps the run and goes no further."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder
        self.run: dict[str, Any] = {}

    def folder(self, name: str) -> Path:
        return self.scratch / name

    def lasting_folder(self, name: str) -> Path:
        return self.scratch / name

    def launch(self, module: str, run: dict[str, Any], checkpoint: str = "") -> None:
        self.run = run
        raise LaunchedError(module)


class NamedInputs(dict[str, Any]):
    """Stands for `Inputs`: nothing comes from outside the store."""

    external: Mapping[str, Snapshot] = {}


def written(stage: str, folder: Path, **fields: Any) -> Path:
    """The run file of a stage with these settings."""
    part = SimpleNamespace(path="part.parquet")
    # What `export` writes beside the weights comes from the model's file and from its artifact.
    (folder / "config.json").write_text('{"tokenizer_sha256": "0", "pad_token_id": 1}')
    manifest = SimpleNamespace(build_id="0" * 64, inputs={}, parents={})
    data = SimpleNamespace(
        folder=lambda: folder,
        parts=[part],
        rows=0,
        path=lambda part: folder / part.path,
        data_id="0" * 64,
        artifact=SimpleNamespace(stage="sft", folder="sft", manifest=manifest, facts={}),
    )
    names = ("model", "examples", "base", "documents", "instructions", "preferences")
    out = Kept(folder)
    with pytest.raises(LaunchedError):
        STAGES[stage].run(
            STAGES[stage].config(**fields),
            NamedInputs.fromkeys(names, data),  # type: ignore[arg-type]
            out,  # type: ignore[arg-type]
        )
    path = folder / "run.json"
    path.write_text(json.dumps(out.run))
    return path


@pytest.mark.parametrize(
    ("stage", "read"),
    [
        ("sft", read_run),
        ("dpo", read_run),
        ("kto", read_run),
        ("reward", read_run),
        ("rlhf", read_run),
        ("pairs", sampled_pairs.read),
        ("evaluate", evaluation.read),
        ("judge", judge.read),
        ("export", export.read),
    ],
)
def test_it_is_read(tmp_path: Path, stage: str, read: Callable[[Path], Any]) -> None:
    run = read(written(stage, tmp_path, threads=3))
    assert run.threads == 3


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "reward", "rlhf"])
def test_fields_that_cannot_change_the_result_are_named_by_the_stage_alone(
    tmp_path: Path, stage: str
) -> None:
    config = STAGES[stage].config()
    declared = config.execution().keys() - {"pool", "prompt_files"}  # not the trainer's
    assert set(read_run(written(stage, tmp_path)).execution) == declared
    assert ("micro_batch_size" in declared) is (stage in ("sft", "rlhf"))
