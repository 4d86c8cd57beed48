"""What happens where one of several processes is killed, or never comes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from llm.training.run_file import Run
from tasks.engine.errors import TrainerError
from tasks.engine.stage.launch import launch
from tasks.engine.stage.ranks import Ranks
from tests.llm.training.small_run import EXECUTION, metrics, run_of, trained
from tests.llm.training.test_training_launched import OFTEN, TWO, Event, launched
from tests.processes import alive_after

SETTINGS: dict[str, Any] = {"steps": 60, "validation_rows": 2}


def _wait_for_a_checkpoint(run: Run) -> None:
    """It is put in place at the end of a later step."""
    deadline = time.monotonic() + 60
    while not list(Path(run.paths.scratch).glob("checkpoints/step-????????")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.long
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("rank", [0, 1])
def test_one_killed_ends_all_and_the_next_start_goes_on(
    tmp_path: Path, parallel: Any, rank: int
) -> None:
    one = run_of(tmp_path / "one", **SETTINGS)
    trained(one)
    run = run_of(tmp_path / "two", replace(OFTEN, parallel=parallel), **SETTINGS)
    killed: list[tuple[float, list[int]]] = []

    def kill(event: Event, process: subprocess.Popen) -> None:
        if event["event"] == "progress" and not killed:
            _wait_for_a_checkpoint(run)
            ranks = sorted(psutil.Process(process.pid).children(), key=lambda child: child.pid)
            killed.append((time.monotonic(), [child.pid for child in ranks]))
            ranks[rank].send_signal(signal.SIGKILL)

    code, _ = launched(asdict(run), tmp_path / "two", kill, TWO)
    [(at, ranks)] = killed
    assert code != 0
    assert time.monotonic() - at < 15
    assert len(ranks) == 2
    assert not alive_after(ranks, seconds=2)
    code, heard = launched(asdict(run), tmp_path / "two", command=TWO)
    assert code == 0
    assert any("resumes from the checkpoint" in event.get("message", "") for event in heard)
    assert metrics(run)["loss"] == pytest.approx(metrics(one)["loss"], rel=1e-4)


@pytest.mark.long
def test_their_agent_killed_ends_all_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """torchrun is gone before it can end anybody; whoever launched it does."""
    run = run_of(tmp_path / "two", replace(OFTEN, parallel="ddp"), **SETTINGS)
    scratch, started = tmp_path / "scratch", list[int]()
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    def kill(event: Event) -> None:
        if event["event"] == "progress" and not started:
            _wait_for_a_checkpoint(run)
            [agent] = psutil.Process().children()
            started.extend(child.pid for child in [agent, *agent.children(recursive=True)])
            agent.send_signal(signal.SIGKILL)

    def start(hear: Callable[[Event], None]) -> None:
        ranks = Ranks(processes=2)
        launch("llm.training", asdict(run), scratch, hear, lambda: False, environment, ranks)

    with pytest.raises(TrainerError, match="was killed"):
        start(kill)
    assert len(started) >= 3
    assert not alive_after(started, seconds=10)
    heard: list[Event] = []
    start(heard.append)
    assert any("resumes from the checkpoint" in event.get("message", "") for event in heard)
    assert Path(run.paths.model).exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_never_comes_is_an_error_that_says_so(tmp_path: Path, rank: int) -> None:
    run = run_of(tmp_path, replace(EXECUTION, rendezvous_seconds=2.0))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    began = time.monotonic()
    code, heard = launched(asdict(run), tmp_path, **environment)
    assert time.monotonic() - began < 60
    assert code == 1
    assert [event["type"] for event in heard] == ["RendezvousError"]
    said = heard[0]["message"]
    assert f"process {rank + 1} of 2 waited 2 s at 127.0.0.1:{port} and not all came" in said
