"""SIGTERM in each phase of a tuning run: how it ends, and that the next start loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llm.alignment import checkpoints
from llm.alignment.methods import dpo, sft
from llm.alignment.run_file import parse_run
from llm.process.parent import TERMINATED, StoppedError, StopRequest
from tests.llm.alignment.tiny_run import (
    Listener,
    instructions,
    model_folder,
    preferences,
    run_record,
)

# Sends itself the signal where it is about to do something, and would then wait for ever.
PHASES = """
import os, signal, sys, time
from llm.alignment import trainer
from llm.alignment.__main__ import main
def stopped(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
setattr(trainer.Session, sys.argv[2], stopped)
sys.exit(main(sys.argv[1:2]))
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    torch.set_num_threads(1)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def record(method: str, folder: Path, **changes: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    write = instructions if method == "sft" else preferences
    rows = write(folder / "rows.parquet")
    return run_record(method, folder, model_folder(folder), rows) | changes


def trained(given: dict[str, Any], stop: StopRequest | None = None) -> Listener:
    run, listener = parse_run(given, "test"), Listener()
    train: Any = dpo.train if run.method == "dpo" else sft.train
    train(run, listener, stop or StopRequest())
    return listener


@pytest.mark.long
@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize(("phase", "kept"), [("load", False), ("save", True)])
def test_it_ends_at_once_where_no_step_would_be_lost(
    tmp_path: Path, method: str, phase: str, kept: bool
) -> None:
    """Before its first step, and when it writes the model: the last step has a checkpoint."""
    given = record(method, tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(given))
    ended = subprocess.run(
        [sys.executable, "-c", PHASES, str(tmp_path / "run.json"), phase],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == TERMINATED, ended.stderr.decode()
    assert not (tmp_path / "out").exists()
    assert bool(list((tmp_path / "scratch").glob(f"checkpoint-*/{checkpoints.MARKER}"))) == kept
    assert (trained(given).steps == []) == kept, "what was trained is not trained again"


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_step_is_dropped_between_its_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    whole, cut = (record(method, tmp_path / n, micro_batch_size=1) for n in ("whole", "cut"))
    trained(whole)
    calls = 0
    with monkeypatch.context() as patch:
        from transformers import Trainer

        step = Trainer.training_step

        def counted(self: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 4 + 2:  # the second of four of the second step
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, *arguments, **named)

        patch.setattr(Trainer, "training_step", counted)
        with pytest.raises(StoppedError, match="stopped after step 1, with a checkpoint"):
            trained(cut, StopRequest())
    assert calls == 4 + 2
    assert trained(cut).began[0][1] == 1
    one, two = (load_file(Path(run["output"]) / "model.safetensors") for run in (whole, cut))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
