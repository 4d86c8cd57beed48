"""Two nodes, each with a torchrun of its own: both on this machine."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.errors import TrainerError
from tasks.engine.stage.launch import launch
from tasks.engine.stage.ranks import Ranks
from tests.llm.training.small_run import EXECUTION, metrics, run_of, trained

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def _address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.long
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_nodes_are_one(tmp_path: Path, parallel: Any) -> None:
    one = run_of(tmp_path / "one", steps=5)
    trained(one)
    run = run_of(tmp_path / "two", replace(EXECUTION, parallel=parallel), steps=5)
    others: list[subprocess.Popen[bytes]] = []

    def hear(event: dict[str, Any]) -> None:
        _, found, command = event.get("message", "").partition("start it with: ")
        if found:
            arguments = [sys.executable, *shlex.split(command)[1:]]
            others.append(subprocess.Popen(arguments, env={**os.environ, **ENVIRONMENT}))

    launch(
        "llm.training",
        asdict(run),
        tmp_path / "two" / "scratch",
        hear,
        lambda: False,
        ENVIRONMENT,
        Ranks(1, 2, _address(), 120.0),
    )
    assert [other.wait() for other in others] == [0]
    assert metrics(run)["loss"] == pytest.approx(metrics(one)["loss"], rel=1e-5)


def test_a_node_that_never_comes_is_an_error_that_says_so(tmp_path: Path) -> None:
    address = _address()
    with pytest.raises(TrainerError, match=f"of 2 nodes not all came to {address} within 2 s"):
        launch(
            "llm.training",
            asdict(run_of(tmp_path)),
            tmp_path / "scratch",
            lambda event: None,
            lambda: False,
            ENVIRONMENT,
            Ranks(1, 2, address, 2.0),
        )
