"""Ctrl-C in the middle of training: a checkpoint is written, and the next run ends as if nothing
had happened."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.llm.alignment.tiny_run import facts
from tests.llm.tokens.small_tokenizer import library_texts
from tests.processes import alive_after
from tests.terminal import Terminal
from tests.test_kill_stages import TRAINING, write_rows

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NEVER = 86_400.0
RECIPE: dict[str, Any] = {
    **TRAINING,
    "name": "interrupted",
    "pretrain": {**TRAINING["pretrain"], "checkpoint_seconds": NEVER},
    "examples": {
        "make_from_documents": False,
        "instruction_files": ["instructions.jsonl"],
        "validation_fraction": 0.0,
        "min_answer_chars": 1,
    },
    "sft": {
        "epochs": 8,
        "batch_size": 8,
        "max_length": 64,
        "long_rows": "cut",
        "max_truncated": 1.0,
        "threads": 1,
        "device": "cpu",
        "precision": "fp32",
        "checkpoint_seconds": NEVER,
    },
}


def run(root: Path, home: Path) -> Terminal:
    return Terminal(
        [sys.executable, "-m", "tests.kill_runner", str(home), str(root / "recipe.yaml")],
        {"PYTHONPATH": os.pathsep.join(sys.path), "INGOT_ROOT": str(root)},
    )


def interrupted(root: Path, home: Path, stage: str) -> int:
    """Press Ctrl-C when the stage has made a few steps; the step it wrote a checkpoint of."""
    terminal = run(root, home)
    trainers: set[int] = set()
    for line in terminal.lines():
        event = json.loads(line) if line.startswith("{") else {}
        if (event.get("stage"), event.get("unit")) == (stage, "step") and event["done"] > 1:
            scratch = home.glob(f"artifacts/{stage}/*/scratch")
            assert not [path for path in scratch if list(path.rglob("*step*"))]
            group = os.getpgid(terminal.pid)
            trainers = {
                int(pid.name)
                for pid in Path("/proc").glob("[0-9]*")
                if int(pid.name) != terminal.pid and _group(int(pid.name)) == group
            }
            break
    assert trainers, "\n".join(terminal.said)
    terminal.press_ctrl_c()
    assert terminal.exit_code() == -signal.SIGINT
    said = "\n".join(terminal.said)
    assert "was stopped; the next run resumes from its last checkpoint" in said
    assert not alive_after(trainers, seconds=2)
    told = re.search(r"stopped after step (\d+)\b.*, with a checkpoint", said)
    assert told is not None, said
    return int(told[1])


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def latest(home: Path, stage: str) -> Artifact:
    artifact = channels.resolve(Store(str(home)), "interrupted", stage)
    assert artifact is not None
    return artifact


def model_digest(home: Path, stage: str) -> str:
    folder = latest(home, stage).data("model").folder()
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_training_and_tuning_go_on_where_ctrl_c_stopped_them(tmp_path: Path) -> None:
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 60]
    write_rows(tmp_path / "texts", "0.jsonl", texts)
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in facts()
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "instructions.jsonl").write_text(lines)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    home, other = tmp_path / "home", tmp_path / "other"
    pretrained = interrupted(tmp_path, home, "pretrain")
    tuned = interrupted(tmp_path, home, "sft")
    last = run(tmp_path, home)
    assert last.exit_code() == 0, "\n".join(last.said)
    assert any(f"resumes from checkpoint-{tuned}" in line for line in last.said)
    resumed = latest(home, "pretrain").facts["training"]["resumed_from_step"]
    assert resumed == pretrained
    undisturbed = run(tmp_path, other)
    assert undisturbed.exit_code() == 0, "\n".join(undisturbed.said)
    for stage in ("pretrain", "sft"):
        assert model_digest(home, stage) == model_digest(other, stage)
