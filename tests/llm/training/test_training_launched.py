"""`python -m llm.training`: what it prints, how it stops, and that it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import TERMINATED
from llm.training.run_file import Run
from tests.llm.training.small_run import EXECUTION, metrics, run_of, trained, weights

Event = dict[str, Any]
OFTEN = replace(EXECUTION, checkpoint_seconds=0.0)
ALONE = [sys.executable, "-u", "-m"]
TWO = [*ALONE, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def launched(
    record: dict[str, Any],
    folder: Path,
    on_event: Callable[[Event, subprocess.Popen], None] | None = None,
    command: list[str] = ALONE,
    module: str = "llm.training",
    **environment: str,
) -> tuple[int, list[Event]]:
    """Exit code and events; every line of standard output must be one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.json"
    path.write_text(json.dumps(record))
    heard: list[Event] = []
    with (folder / "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, module, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "INGOT_PARENT_PIPE": "1", "OMP_NUM_THREADS": "1", **environment},
        )
        assert process.stdout is not None
        for line in process.stdout:
            heard.append(json.loads(line))
            if on_event is not None:
                on_event(heard[-1], process)
        return process.wait(), heard


def _sha256(run: Run) -> str:
    return hashlib.sha256(weights(run)).hexdigest()


def _once(number: signal.Signals) -> Callable[[Event, subprocess.Popen], None]:
    """Send a signal at the first progress event."""
    sent: list[int] = []

    def act(event: Event, process: subprocess.Popen) -> None:
        if event["event"] == "progress" and not sent:
            sent.append(number)
            process.send_signal(number)

    return act


@pytest.mark.long
def test_stopped_and_killed_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 300, "validate_every": 40, "optimiser": "muon"}
    whole = run_of(tmp_path / "whole", **settings)
    cut = run_of(tmp_path / "cut", OFTEN, **settings)
    trained(whole)
    code, heard = launched(asdict(cut), tmp_path / "cut", _once(signal.SIGTERM))
    assert code == TERMINATED
    assert {event["event"] for event in heard} == {"log", "progress"}
    assert heard[-1]["message"].startswith("stopped after step")
    code, _ = launched(asdict(cut), tmp_path / "cut", _once(signal.SIGKILL))
    assert code == -signal.SIGKILL
    assert not Path(cut.paths.model).exists()
    code, heard = launched(asdict(cut), tmp_path / "cut")
    assert code == 0
    assert any("resumes from the checkpoint of step" in e.get("message", "") for e in heard)
    assert _sha256(cut) == _sha256(whole)
    assert metrics(cut) == metrics(whole)


def test_it_ends_with_its_launcher(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=1_000_000)
    hung_up: list[float] = []

    def hang_up(event: Event, process: subprocess.Popen) -> None:
        if event["event"] == "progress" and process.stdin is not None and not hung_up:
            hung_up.append(time.monotonic())
            process.stdin.close()

    code, _ = launched(asdict(run), tmp_path, hang_up)
    assert time.monotonic() - hung_up[0] < 2
    assert code == 1


def test_an_error_is_an_event(tmp_path: Path) -> None:
    record = asdict(run_of(tmp_path))
    record["optimisation"]["steps"] = "9"
    code, heard = launched(record, tmp_path)
    assert code == 1
    assert [(event["event"], event["type"]) for event in heard] == [("error", "RunFileError")]
    assert "optimisation.steps must be int, found '9'" in heard[0]["message"]


@pytest.mark.long
def test_two_processes_are_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 10, "batch_rows": 7, "validation_rows": 5}
    one, two = (run_of(tmp_path / name, **settings) for name in ("one", "two"))
    trained(one)
    code, heard = launched(asdict(two), tmp_path / "two", command=TWO)
    assert code == 0
    assert sum("steps 1 to 10" in event.get("message", "") for event in heard) == 1
    ours, theirs = metrics(one), metrics(two)
    for name in ("loss", "validation_loss", "validation_bits_per_byte"):
        assert theirs[name] == pytest.approx(ours[name], rel=1e-5)


@pytest.mark.long
def test_more_processes_than_rows_and_a_restart(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 200, "batch_rows": 1, "validation_rows": 1}
    one, two = run_of(tmp_path / "one", **settings), run_of(tmp_path / "two", OFTEN, **settings)
    trained(one)
    launched(asdict(two), tmp_path / "two", _once(signal.SIGTERM), TWO)
    assert not Path(two.paths.model).exists()
    code, heard = launched(asdict(two), tmp_path / "two", command=TWO)
    assert code == 0
    assert any("resumes from" in event.get("message", "") for event in heard)
    assert metrics(two)["loss"] == pytest.approx(metrics(one)["loss"], rel=1e-3)


@pytest.mark.long
def test_where_nothing_compiles_it_runs_uncompiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, replace(EXECUTION, compile=True), steps=2)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    code, heard = launched(asdict(run), tmp_path, CXX="/nonexistent")
    assert code == 0
    assert (Path(run.paths.scratch) / "compiled").is_dir()
    assert "training runs uncompiled" in heard[0]["message"]
    assert not json.loads(Path(run.paths.result).read_text())["compiled"]
